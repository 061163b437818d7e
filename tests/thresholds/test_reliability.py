"""The accuracy of a bin of scores, against a naive isotonic regression."""

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, records_of

from branchynet.thresholds import choose_thresholds
from branchynet.thresholds.reliability import reliable_below


def naive_isotonic(values):
    """Pool adjacent violators, falling; one block after another."""
    blocks = []
    for value in values:
        blocks.append([float(value), 1])
        while len(blocks) > 1 and blocks[-1][0] >= blocks[-2][0]:
            mean, size = blocks.pop()
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * size) / (blocks[-1][1] + size), blocks[-1][1] + size]
    return np.concatenate([np.full(size, mean) for mean, size in blocks])


@pytest.mark.parametrize("level", [0.1, 0.5, 0.75, 0.9, 1.0])
def test_a_bin_is_accurate_enough_where_isotonic_regression_says_so(rng, level):
    for _ in range(20):
        scores = rng.permutation(40).astype(np.float32)
        right = rng.random(40) > scores / 40
        n_expected = (naive_isotonic(right[np.argsort(scores)]) >= level - 1e-9).sum()
        threshold = reliable_below(records_of([scores, scores], [right, right]), 0, np.arange(40), level)
        assert (scores < threshold).sum() == n_expected


def test_bins_at_an_exit_are_of_the_samples_that_reach_it(rng):
    records = make_records(rng, 300, 3)
    choice = choose_thresholds(records, costs_of(records), "bin-accuracy>=90%")
    reaching = np.flatnonzero(records.scores[0] >= np.float32(choice.thresholds[0]))
    assert 0 < len(reaching) < 300
    assert choice.thresholds[1] == reliable_below(records, 1, reaching, 0.9)
    assert min(choice.details["accuracy_of_leaving"]) >= 0.9

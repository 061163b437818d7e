"""Thresholds worth trying: never, always, and enough between."""

import itertools
import math

import numpy as np
import pytest
from synthetic_records import make_records, next_float, records_of

from branchynet.thresholds import ExitRecords
from branchynet.thresholds.candidates import always, between, candidate_thresholds, never


@pytest.mark.parametrize("n_exits", [2, 3, 4])
def test_never_and_always_leaving_are_among_the_candidates(rng, n_exits):
    records = make_records(rng, 50, n_exits)
    candidates = candidate_thresholds(records)
    shares = records.evaluate(candidates).exit_shares
    assert (candidates[0] == 0).all() and shares[0, -1] == 1
    everyone = candidates[shares[:, 0] == 1]
    assert (everyone[:, 0] > math.log(4)).any() and np.isfinite(everyone).all()


def test_with_one_early_exit_and_few_samples_every_split_of_the_samples_is_tried(rng):
    records = make_records(rng, 60)
    n_leaving = records.evaluate(candidate_thresholds(records)).n_leaving[:, 0]
    assert sorted(n_leaving) == list(range(61))


def naive_ladder(records, scores, n_levels):
    """Candidates of one exit: behind every score, or behind some that lie densest at both ends (Chebyshev)."""
    ordered, last = np.sort(scores), len(scores) - 1
    places = range(last + 1)
    if len(ordered) > n_levels:
        places = {round((1 - math.cos(math.pi * k / (n_levels - 1))) / 2 * last) for k in range(n_levels)}
    inner = [float(between(ordered[place], ordered[place + 1])) for place in sorted(places) if place < last]
    return [0.0, *inner, always(records)]


@pytest.mark.parametrize(
    ("n_exits", "n_samples", "n_levels"), [(2, 1000, 1000), (2, 1100, 1000), (3, 60, 60), (3, 61, 60), (3, 300, 60)]
)
def test_with_one_or_two_early_exits_all_pairs_of_so_many_levels_are_candidates(rng, n_exits, n_samples, n_levels):
    records = make_records(rng, n_samples, n_exits)
    ladders = [naive_ladder(records, scores, n_levels) for scores in records.scores[:-1]]
    assert candidate_thresholds(records).tolist() == [list(setting) for setting in itertools.product(*ladders)]


@pytest.mark.parametrize(("n_exits", "n_samples"), [(4, 20), (5, 20), (4, 400), (4, 440)])
def test_of_more_exits_the_candidates_are_a_family_of_the_share_that_stays_and_its_ratio(rng, n_exits, n_samples):
    """Two loops over the parameters."""
    records = make_records(rng, n_samples, n_exits)
    ladders = [naive_ladder(records, scores, 400) for scores in records.scores[:-1]]
    expected = set()
    for share in np.linspace(1, 0, 40):
        for ratio in np.geomspace(1 / 16, 16, 41):
            staying = [min(share * ratio**n, 1) for n in range(n_exits - 1)]
            expected.add(tuple(ladder[round((1 - s) * (len(ladder) - 1))] for ladder, s in zip(ladders, staying)))
    assert candidate_thresholds(records).tolist() == [list(setting) for setting in sorted(expected)]


@pytest.mark.parametrize(("n_exits", "most"), [(2, 1001), (3, 61**2), (4, 1640), (9, 1640)])
def test_there_are_not_more_candidates_than_can_be_tried_fast(rng, n_exits, most):
    assert 100 < len(candidate_thresholds(make_records(rng, 2000, n_exits))) <= most


@pytest.mark.parametrize(
    ("scores", "n_classes", "expected"),
    [
        ([0.5, 0.9], 4, 3),  # above 1 and above ln 4 = 1.39
        ([0.5, 5.2], 4, 7),
        ([0.0, 0.0], 1, 1),
        ([-3.0, -2.0], 2, 2),
        ([0.5, 2e9], 4, float(next_float(2e9))),  # float32 does not hold 2e9 + 1
    ],
)
def test_at_the_highest_threshold_all_leave(scores, n_classes, expected):
    labels = np.array([0, n_classes - 1])
    records = ExitRecords(np.array([scores, [99, 99]], np.float32), np.zeros((2, 2), int), labels)
    assert always(records) == expected


@pytest.mark.parametrize(
    ("scores", "lowest", "expected"),
    [
        ([0.5, 0.9], 0.0, 0),
        ([2.0, 3.0], 1.0, 1),
        ([0.5, 0.9], -math.inf, 0),
        ([-1.5, 0.5], -math.inf, -3),
        ([-1e-9, 0.5], 0.0, -2),  # an entropy that was rounded below its bound
    ],
)
def test_at_the_lowest_threshold_none_leaves(scores, lowest, expected):
    records = ExitRecords(np.array([scores, [-9, -9]], np.float32), np.zeros((2, 2), int), np.zeros(2, int), lowest)
    assert never(records) == expected


def test_without_an_early_exit_there_is_one_candidate_without_thresholds(rng):
    assert candidate_thresholds(make_records(rng, 5, 1)).shape == (1, 0)


@pytest.mark.parametrize(("shift", "lowest"), [(-1, -math.inf), (1e9, 0.0), (-1e9, -math.inf), (1, 1.0), (3, -7.0)])
def test_scores_may_be_negative_or_far_from_zero_or_have_another_lower_bound(rng, shift, lowest):
    scores = make_records(rng, 50).scores + np.float32(shift)
    records = ExitRecords(scores, np.zeros((2, 50), np.int32), np.zeros(50, np.int32), lowest)
    candidates = candidate_thresholds(records)
    shares = records.evaluate(candidates).exit_shares[:, 0]
    assert shares[0] == 0 and shares[-1] == 1 and (candidates >= lowest).all()


def test_halfway_between_scores_the_lower_leaves_and_the_higher_stays_however_near_they_are():
    below = np.array([0.1, 1, 1e-30, -2, 2e38], np.float32)
    for above in (below + np.abs(below) / 2, next_float(below)):
        middle = between(below, above)
        assert middle.dtype == np.float32 and (below < middle).all() and (middle <= above).all()
    assert between(np.float32(1), np.float32(2)) == 1.5


def test_equal_scores_are_one_candidate():
    records = records_of([[0.5, 0.5, 0.5, 0.7], [0] * 4], np.ones((2, 4), bool))
    assert records.evaluate(candidate_thresholds(records)).n_leaving[:, 0].tolist() == [0, 3, 4]

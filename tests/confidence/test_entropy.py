"""Entropy of the softmax output, in nats."""

import math

import numpy as np
import pytest

from branchynet.confidence import entropy, entropy_of_one, softmax
from branchynet.devices import to_host


def naive_entropy(logits):
    """-sum p log p, term by term, in double precision."""
    rows = []
    for row in np.asarray(logits, dtype=np.float64):
        p = np.exp(row - row.max())
        p /= p.sum()
        rows.append(-sum(x * math.log(x) for x in p if x > 0))
    return np.array(rows)


def test_entropy_is_minus_sum_p_log_p(rng, device):
    logits = rng.normal(scale=5, size=(50, 10)).astype(np.float32)
    result = to_host(entropy(device.send(logits)))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, naive_entropy(logits), rtol=1e-4, atol=1e-6)


def test_equal_logits_give_the_highest_entropy():
    np.testing.assert_allclose(entropy(np.full((1, 10), 7, np.float32)), math.log(10), rtol=1e-6)


@pytest.mark.parametrize("gap", [50, 200, 1e4])
def test_certainty_has_entropy_zero_and_never_less(gap):
    result = entropy(np.array([[gap, 0, 0], [0, -gap, 0]], np.float32))
    assert 0 <= result[0] < 1e-15
    np.testing.assert_allclose(result[1], math.log(2), rtol=1e-6)


def test_an_empty_batch_has_no_entropies():
    assert entropy(np.empty((0, 10), np.float32)).shape == (0,)


def test_softmax_sums_to_one(rng, device):
    probabilities = to_host(softmax(device.send(rng.normal(scale=30, size=(20, 4)).astype(np.float32))))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (probabilities >= 0).all()


def test_one_sample_in_plain_python_has_the_same_entropy(rng):
    logits = rng.normal(scale=5, size=(30, 10)).astype(np.float32)
    np.testing.assert_allclose([entropy_of_one(row.tolist()) for row in logits], naive_entropy(logits), atol=1e-6)
    assert entropy_of_one([1e4, 0.0]) == 0.0

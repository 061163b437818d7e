"""Recorded logits: their parts, paired differences, and whether an exit is right as often as it says."""

import math

import numpy as np
import pytest
from future import Recorded, difference, reliability
from tiny import tiny_batch, tiny_logits, tiny_measure

from branchynet.confidence import reliability_bins, softmax


def test_parts_share_no_sample_and_leave_none_out():
    recorded = Recorded(np.arange(7, dtype=np.float32)[None, :, None], np.arange(7))
    first, second = recorded.parted(seed=1)
    assert (len(first.labels), len(second.labels)) == (3, 4)
    assert sorted([*first.labels, *second.labels]) == list(range(7))
    assert (first.logits[0, :, 0] == first.labels).all(), "labels stay with their logits"
    assert recorded.parted(seed=1)[0].labels.tolist() == first.labels.tolist()


def test_recorded_logits_are_those_of_the_network(net):
    x, labels = tiny_batch(9)
    recorded = Recorded.of(net, x, labels)
    assert recorded.logits.shape == (3, 9, 3) and recorded.labels.tolist() == labels.tolist()


def test_a_difference_is_paired():
    right, other = np.array([True, True, False, True]), np.array([True, False, False, True])
    assert difference(right, right) == {"points": 0, "standard_error_points": 0}
    result = difference(right, other)
    assert result["points"] == 25
    assert result["standard_error_points"] == pytest.approx(100 * math.sqrt(0.25 * 0.75 / 4))


def test_the_right_temperature_lowers_the_calibration_error():
    logits, labels = tiny_logits(1000, n_exits=2)
    logits, temperatures = 20 * logits, (20 * tiny_measure("calibrated-entropy").tau_[:2]).tolist()
    rows = reliability(Recorded(logits, labels), temperatures)
    for row, exit_logits, temperature in zip(rows, logits, temperatures):
        confidences = softmax((exit_logits / temperature).astype(np.float64)).max(axis=1)
        assert row["temperature"] == temperature
        assert row["after"]["error"] < row["before"]["error"]
        assert row["after"]["bins"] == reliability_bins(confidences, exit_logits.argmax(axis=1) == labels)

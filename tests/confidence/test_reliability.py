"""Whether an exit is right as often as it says: bins of confidence, and the expected calibration error."""

import numpy as np
import pytest

from branchynet.confidence import expected_calibration_error, reliability_bins


def test_reliability_bins_are_means_over_samples(rng):
    confidences, right = rng.random(200), rng.random(200) < 0.5
    confidences[:2] = 0, 1
    bins = reliability_bins(confidences, right, n_bins=4)
    assert len(bins) == 4
    error = 0
    for number, entry in enumerate(bins):
        inside = [n for n, value in enumerate(confidences) if min(int(4 * value), 3) == number]
        assert entry["count"] == len(inside)
        assert entry["confidence"] == pytest.approx(np.mean([confidences[n] for n in inside]))
        assert entry["accuracy"] == pytest.approx(np.mean([right[n] for n in inside]))
        error += len(inside) / 200 * abs(entry["confidence"] - entry["accuracy"])
    assert expected_calibration_error(bins) == pytest.approx(error)


def test_empty_bins_are_left_out_and_certainty_that_is_right_has_no_error():
    bins = reliability_bins(np.ones(3), np.full(3, True), n_bins=10)
    assert bins == [{"confidence": 1, "accuracy": 1, "count": 3}]
    assert expected_calibration_error(bins) == 0

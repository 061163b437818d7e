"""The front of accuracy against cost, and its knee."""

import math

import pytest

from branchynet.errors import ThresholdError
from branchynet.thresholds import front, knee


def test_the_front_holds_the_points_that_no_other_point_beats():
    times = [1, 2, 2, 3, 4, 1]
    accuracies = [5, 7, 6, 7, 8, 5]
    assert front(times, accuracies) == [0, 1, 4]
    assert front([], []) == []


def test_the_knee_is_the_fastest_within_one_standard_error_of_the_best():
    times, accuracies = [1, 2, 3, 4], [0.80, 0.88, 0.895, 0.90]
    assert knee(times, accuracies, 100) == 1, "the standard error is 0.03"
    assert knee(times, accuracies, 1000) == 2, "0.0095"
    assert knee(times, accuracies, 100_000) == 3, "0.00095"
    assert knee(times[::-1], accuracies[::-1], 100) == 2


def test_exactly_one_standard_error_below_the_best_is_near_enough_and_any_more_is_not():
    # sqrt(0.5 * 0.5 / 64) = 0.0625, and float64 holds all of these numbers.
    assert knee([1, 2], [0.4375, 0.5], 64) == 0
    assert knee([1, 2], [math.nextafter(0.4375, 0), 0.5], 64) == 1
    assert knee([1, 2], [0.4375, 0.5], 65) == 1


def test_where_nothing_is_uncertain_the_most_accurate_is_the_knee():
    assert knee([1, 2], [0.9, 1.0], 10) == 1
    assert knee([1, 2], [1.0, 1.0], 10) == 0
    assert knee([1], [0.0], 10) == 0


def test_a_knee_of_nothing_is_refused():
    with pytest.raises(ThresholdError, match="at least one"):
        knee([], [], 10)

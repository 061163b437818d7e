"""The exit rule, and evaluating settings of T on recorded predictions."""

import math

import numpy as np
import pytest

from branchynet.errors import ThresholdError
from branchynet.thresholds import (
    EntropyThresholds,
    ExitRecords,
    PercentExits,
    as_exit_rule,
    assign_exits,
    evaluate,
    front,
    knee,
    sweep,
)

# Two early exits and a last one; four samples.
ENTROPIES = np.array([[0.1, 0.5, 0.9, 2.0], [0.0, 0.2, 0.7, 1.0], [9.0, 9.0, 9.0, 9.0]], np.float32)
PREDICTIONS = np.array([[0, 1, 2, 2], [0, 1, 1, 2], [0, 1, 1, 1]], np.int32)
RECORDS = ExitRecords(ENTROPIES, PREDICTIONS, np.array([0, 1, 1, 1], np.int32))


def naive_exits(entropies, thresholds):
    """The paper's loop, one sample after another."""
    exits = []
    for sample in entropies.T:
        for exit_index, value in enumerate(sample):
            if exit_index == len(sample) - 1 or value < thresholds[exit_index]:
                exits.append(exit_index)
                break
    return exits


@pytest.mark.parametrize("thresholds", [(0, 0), (0.1, 0.2), (0.6, 0.8), (5, 5), (0, 5), (0.5, 0)])
def test_a_sample_leaves_at_the_first_exit_whose_entropy_is_below_the_threshold(thresholds):
    exits = assign_exits(ENTROPIES, as_exit_rule(thresholds, 3))
    assert exits.tolist() == naive_exits(ENTROPIES, thresholds)


def test_threshold_zero_sends_all_to_the_last_exit():
    assert evaluate(RECORDS, 0).exit_shares == (0, 0, 1)


def test_a_threshold_above_ln_c_lets_all_leave_at_the_first_exit():
    assert evaluate(RECORDS, math.log(10)).exit_shares == (1, 0, 0)


def test_the_entropy_must_be_below_the_threshold_not_equal():
    assert assign_exits(ENTROPIES[:, :1], EntropyThresholds((0.0, float(ENTROPIES[1, 0])))).tolist() == [2]


def test_accuracy_counts_each_sample_at_the_exit_it_takes():
    evaluation = evaluate(RECORDS, (0.6, 0.8))
    assert evaluation.exit_shares == (0.5, 0.25, 0.25)
    assert evaluation.accuracy == 1.0
    assert evaluate(RECORDS, 5.0).accuracy == 0.5
    np.testing.assert_allclose(RECORDS.exit_accuracies(), [0.5, 0.75, 1.0])


def test_a_sweep_tries_all_combinations():
    evaluations = sweep(RECORDS, (0.1, 1.0))
    assert [e.thresholds for e in evaluations] == [(0.1, 0.1), (0.1, 1.0), (1.0, 0.1), (1.0, 1.0)]
    assert evaluations[1] == evaluate(RECORDS, (0.1, 1.0))


def test_percent_exits_lets_the_surest_share_leave(rng):
    entropies = rng.random((3, 40)).astype(np.float32)
    exits = assign_exits(entropies, as_exit_rule(PercentExits((25, 50)), 3))
    assert np.bincount(exits).tolist() == [10, 15, 15]
    assert entropies[0, exits == 0].max() < entropies[0, exits != 0].min()


@pytest.mark.parametrize(("percent", "n_leaving"), [(0, 0), (100, 4), (50, 2)])
def test_percent_exits_from_none_to_all(percent, n_leaving):
    assert (assign_exits(ENTROPIES, as_exit_rule(PercentExits(percent), 3)) == 0).sum() == n_leaving


def test_one_number_serves_all_early_exits():
    assert as_exit_rule(0.5, 3) == EntropyThresholds((0.5, 0.5))
    assert as_exit_rule(np.float32(0.5), 2) == EntropyThresholds((0.5,))
    assert as_exit_rule([], 1) == EntropyThresholds(())


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([0.1, 0.2, 0.3], r"expected 2 \(the last exit takes all\), got 3"),
        ([0.1], r"expected 2 \(the last exit takes all\), got 1"),
        ([0.1, -1], r"a score >= 0 \(an entropy: in nats\), got -1"),
        ([0.1, float("nan")], "got nan"),
        ("abc", "a number or a list of numbers"),
        (None, "a number or a list of numbers"),
        (PercentExits((10, 101)), "a percentage from 0 to 100, got 101"),
    ],
)
def test_thresholds_that_do_not_fit_are_refused(thresholds, message):
    with pytest.raises(ThresholdError, match=message):
        as_exit_rule(thresholds, 3)


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


def test_where_nothing_is_uncertain_the_most_accurate_is_the_knee():
    assert knee([1, 2], [0.9, 1.0], 10) == 1
    assert knee([1, 2], [1.0, 1.0], 10) == 0
    assert knee([1], [0.0], 10) == 0


def test_a_knee_of_nothing_is_refused():
    with pytest.raises(ThresholdError, match="at least one"):
        knee([], [], 10)

"""The exit rule: who leaves where, in one precision, and what callers may give as thresholds."""

import math

import numpy as np
import pytest
from synthetic_records import naive_exits, next_float

from branchynet.errors import ThresholdError
from branchynet.machine.devices import to_host
from branchynet.thresholds import PercentExits, Thresholds, as_exit_rule, assign_exits

# Two early exits and a last one; four samples.
ENTROPIES = np.array([[0.1, 0.5, 0.9, 2.0], [0.0, 0.2, 0.7, 1.0], [9.0, 9.0, 9.0, 9.0]], np.float32)


@pytest.mark.parametrize("thresholds", [(0.1, 0.2), (0.6, 0.8), (5, 5), (0, 5), (0.5, 0), (0.9, math.inf)])
def test_a_sample_leaves_at_the_first_exit_whose_score_is_below_the_threshold(thresholds, device):
    exits = assign_exits(device.send(ENTROPIES), as_exit_rule(thresholds, 3))
    assert exits.dtype == np.int32 and to_host(exits).tolist() == naive_exits(ENTROPIES, thresholds)


@pytest.mark.parametrize(("threshold", "exit_index"), [(0, 2), (math.log(10), 0), (math.inf, 0)])
def test_threshold_zero_sends_all_to_the_last_exit_and_one_above_ln_c_to_the_first(threshold, exit_index):
    assert assign_exits(ENTROPIES, as_exit_rule(threshold, 3)).tolist() == [exit_index] * 4
    assert assign_exits(ENTROPIES[:, :0], as_exit_rule(threshold, 3)).shape == (0,)


@pytest.mark.parametrize("kind", [Thresholds, PercentExits])
def test_a_rule_stays_as_it_was_made_whatever_becomes_of_what_it_was_made_from(kind):
    number = np.array(0.25)
    for given in (np.array([0.5, 0.25]), [0.5, number]):
        rule, of_one = kind(given), kind(number)
        given[0] = number[...] = 9
        assert rule.values == (0.5, 0.25) and set(map(type, rule.values)) == {float}
        assert of_one.values == 0.25
        number[...] = 0.25


@pytest.mark.parametrize("threshold", [0.5, 0.1, 1 / 3, 1e-30, 1e30, -0.1])
def test_a_score_equal_to_the_threshold_in_float32_stays_in_arrays_and_alone(threshold, device):
    equal = np.float32(threshold)
    scores, below = np.array([next_float(equal, -np.inf), equal, next_float(equal)]), [True, False, False]
    rule = as_exit_rule(threshold, 2, lowest=-math.inf)
    assert to_host(rule.leaves(0, device.send(scores))).tolist() == below
    assert [bool(rule.leaves(0, score)) for score in scores] == below
    both_exits = device.send(np.stack([scores, scores]))
    assert to_host(assign_exits(both_exits, rule)).tolist() == [0, 1, 1]


def test_percent_exits_lets_the_surest_share_leave(rng):
    entropies = rng.random((3, 40)).astype(np.float32)
    exits = assign_exits(entropies, as_exit_rule(PercentExits((25, 50)), 3))
    assert np.bincount(exits).tolist() == [10, 15, 15]
    assert entropies[0, exits == 0].max() < entropies[0, exits != 0].min()


@pytest.mark.parametrize(("percent", "n_leaving"), [(0, 0), (100, 4), (50, 2)])
def test_percent_exits_from_none_to_all(percent, n_leaving, device):
    exits = assign_exits(device.send(ENTROPIES), as_exit_rule(PercentExits(percent), 3))
    assert int((exits == 0).sum()) == n_leaving


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), np.array(0.5, np.float16)])
def test_one_number_serves_all_early_exits(number):
    assert as_exit_rule(number, 3) == as_exit_rule([number] * 2, 3) == Thresholds((0.5, 0.5))
    assert as_exit_rule(number, 1) == as_exit_rule([], 1) == Thresholds(())


@pytest.mark.parametrize("kind", [list, tuple, np.array, Thresholds])
def test_a_list_of_numbers_serves_one_exit_each(kind):
    assert as_exit_rule(kind([1, 2.5]), 3) == Thresholds((1.0, 2.5))


def test_an_array_on_the_device_serves_as_thresholds(device):
    assert as_exit_rule(device.send(np.array([1, 2.5])), 3) == Thresholds((1.0, 2.5))


NO_NUMBERS = ["12", b"12", {0.1: 1, 0.2: 2}, {0.1, 0.2}, True, [True, False], np.array([True, False]), np.bool_(True)]
NO_NUMBERS += [None, [0.1, None], ["1", "2"], np.array(["1", "2"]), [[0.1], [0.2]], np.array([[0.1, 0.2]]), 1j]
NO_NUMBERS += [np.ma.masked_array([0.1, 0.2], [False, True]), np.ma.masked, [0.1, np.ma.masked], iter([0.1, 0.2])]
NO_NUMBERS += [Thresholds("12"), PercentExits("12"), PercentExits({1, 2})]


@pytest.mark.parametrize("thresholds", NO_NUMBERS)
def test_what_is_no_number_and_no_list_of_numbers_is_refused(thresholds):
    with pytest.raises(ThresholdError, match=r"^thresholds: expected a number or a list of numbers, got "):
        as_exit_rule(thresholds, 3)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([0.1, 0.2, 0.3], r"expected 2 \(the last exit takes all\), got 3"),
        ([0.1], r"expected 2 \(the last exit takes all\), got 1"),
        ([0.1, -1], r"a score >= 0 \(an entropy: in nats\), got -1"),
        (math.nan, "got nan"),
        (np.array([0.1, math.nan]), "got nan"),
        (PercentExits((10, 101)), "a percentage from 0 to 100, got 101"),
        (PercentExits(math.nan), "a percentage from 0 to 100, got nan"),
    ],
)
def test_thresholds_that_do_not_fit_are_refused(thresholds, message):
    with pytest.raises(ThresholdError, match=message):
        as_exit_rule(thresholds, 3)

"""Goals that say how many samples leave at each exit."""

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, next_float, records_of

from branchynet.errors import ThresholdError
from branchynet.thresholds import ExitCosts, choose_thresholds, thresholds_for_shares


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_a_quantile_is_the_share_that_leaves_of_those_that_reach_an_exit(rng, share):
    records = make_records(rng, 64, 3)
    shares = choose_thresholds(records, costs_of(records), f"quantile={share}").exit_shares
    assert shares == pytest.approx((share, (1 - share) * share, (1 - share) ** 2))


def test_each_exit_may_have_its_own_percentage(rng):
    records = make_records(rng, 100, 3)
    assert choose_thresholds(records, costs_of(records), "exits=60, 25").exit_shares == (0.6, 0.1, 0.3)
    with pytest.raises(ThresholdError, match="expected 1 numbers, one for each early exit, got 2"):
        choose_thresholds(make_records(rng), ExitCosts([1, 2]), "exits=60,30")


@pytest.mark.parametrize("shares", [(0.5, 0.25), (0.0, 0.3), (0.943, 0.05), (1.0, 0.0)])
def test_thresholds_for_shares_of_all_samples(rng, shares):
    records = make_records(rng, 1000, 3)
    found = records.evaluate([thresholds_for_shares(records, shares)]).exit_shares[0]
    np.testing.assert_allclose(found[:2], shares, atol=0.002)


@pytest.mark.parametrize("shares", [(0.8, 0.3), (-0.1, 0.5), (0.5,)])
def test_shares_that_are_none_are_refused(rng, shares):
    with pytest.raises(ThresholdError, match="expected 2 numbers >= 0, their sum at most 1"):
        thresholds_for_shares(make_records(rng, 10, 3), shares)


def test_samples_with_equal_scores_leave_together():
    records = records_of([[0.0, 1.0, 1.0, 1.0, 2.0], [0.0] * 5], np.ones((2, 5), bool))
    assert choose_thresholds(records, ExitCosts([1, 2]), "quantile=0.4").exit_shares == (0.8, 0.2)


@pytest.mark.parametrize("goal", ["exits=50,50", "bin-accuracy>=90%"])
def test_of_scores_next_to_each_other_in_float32_the_one_equal_to_t_goes_on_to_the_next_exit(goal):
    first = np.float32(0.1)
    second = next_float(first)
    scores = [[first, first, second, second], [9, 9, 0.1, 0.5], [0] * 4]
    records = records_of(scores, [[1, 1, 0, 0], [1, 1, 1, 0], [1] * 4])
    choice = choose_thresholds(records, costs_of(records), goal)
    assert np.float32(choice.thresholds[0]) == second
    assert records.exits_at(choice.thresholds).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("n_exits", [2, 3, 5])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_msdnets_budget_is_met_within_one_sample(rng, n_exits, part):
    records = make_records(rng, 200, n_exits)
    values = np.cumsum(rng.random(n_exits) + 0.1)
    budget = values[0] + part * (values[-1] - values[0])
    choice = choose_thresholds(records, ExitCosts(values), f"budget<={float(budget)}ms")
    one_sample = (values[-1] - values[0]) / 200
    assert budget - one_sample - 1e-9 <= choice.expected_cost <= budget + 1e-9


def test_msdnets_shares_are_proportional_to_powers_of_q_up_to_whole_samples(rng):
    records = make_records(rng, 2000, 5)
    choice = choose_thresholds(records, costs_of(records), "budget<=2.5ms")
    ratios = np.array(choice.exit_shares[1:]) / choice.exit_shares[:-1]
    np.testing.assert_allclose(ratios, choice.details["q"], atol=0.01)


def test_a_larger_budget_than_the_last_exit_needs_leaves_all_to_it(rng):
    records = make_records(rng, n_samples=5000)
    choice = choose_thresholds(records, costs_of(records), "budget<=7ms")
    assert choice.thresholds == (0.0,) and choice.expected_cost == 2


def test_a_budget_that_every_exit_keeps_exactly_leaves_all_to_the_last(rng):
    records = make_records(rng, 40, 3)
    choice = choose_thresholds(records, ExitCosts([1.0, 1.0, 1.0]), "budget<=1ms")
    assert choice.thresholds == (0, 0) and choice.details["q"] > 1e9


def test_a_cost_that_noise_put_below_that_of_the_exit_before_breaks_no_budget(rng):
    records = make_records(rng, 200, 3)
    choice = choose_thresholds(records, ExitCosts([1.0, 3.0, 2.9]), "budget<=2ms")
    assert 1.9 < choice.expected_cost <= 2

"""Goals that pick one of the candidates, against a brute force over all settings."""

import itertools

import numpy as np
import pytest
from synthetic_records import costs_of, make_records

from branchynet.errors import ThresholdError
from branchynet.thresholds import KNEE_RULE, ExitCosts, choose_thresholds, knee


def brute_force(records, costs):
    """(accuracy, expected cost) of every setting that differs from the others."""
    ladders = [[0.0, *np.unique(scores).tolist(), 99.0] for scores in records.scores[:-1]]
    outcomes = records.evaluate(list(itertools.product(*ladders)))
    return list(zip(outcomes.accuracies, outcomes.exit_shares @ costs.values))


@pytest.fixture(params=[2, 3])
def records(request, rng):
    """Few enough samples for a brute force over all settings."""
    return make_records(rng, 30 if request.param == 2 else 12, request.param)


def test_what_an_exit_costs_may_be_nothing_and_is_not_changed_with_what_it_was_made_from():
    given = np.array([0.0, 1.0])
    costs = ExitCosts(given)
    given[0] = 9
    assert costs.values.tolist() == [0, 1]


def test_the_knee_is_that_of_the_candidates(records):
    costs = costs_of(records)
    choice = choose_thresholds(records, costs, "knee")
    accuracies, times = zip(*brute_force(records, costs))
    index = knee(times, accuracies, len(records.labels))
    assert (choice.accuracy, choice.expected_cost) == pytest.approx((accuracies[index], times[index]))
    assert choice.rule == KNEE_RULE and choice.goal == "knee" and choice.unit == "ms"


@pytest.mark.parametrize("goal", ["knee", "latency<=1.6ms", "accuracy>=last-20%"])
def test_a_grid_is_chosen_from_and_the_index_is_that_of_the_grid(rng, goal):
    records, grid = make_records(rng), [(0.75,), (0.25,), (0.5,)]
    choice = choose_thresholds(records, costs_of(records), goal, grid=grid)
    assert choice.thresholds == grid[choice.index]
    assert choose_thresholds(records, costs_of(records), goal).index is None
    for wrong_grid, message in (([0.5], r"expected settings of T \(K, 1\)"), ([], "a grid of at least one setting")):
        with pytest.raises(ThresholdError, match=message):
            choose_thresholds(records, costs_of(records), goal, grid=wrong_grid)


@pytest.mark.parametrize("budget", [1.0, 1.2, 1.55, 3.0])
def test_a_budget_gets_the_most_accurate_setting_within_it(records, budget):
    costs = costs_of(records)
    choice = choose_thresholds(records, costs, f"latency<={budget}ms")
    affordable = [point for point in brute_force(records, costs) if point[1] <= budget + 1e-9]
    best = max(affordable, key=lambda point: (point[0], -point[1]))
    assert (choice.accuracy, choice.expected_cost) == pytest.approx(best)


@pytest.mark.parametrize(("in_ms", "counted"), [("latency<=1.5ms", "multiply-adds<=1500"), ("budget<=1.5ms",) * 2])
def test_a_budget_in_multiply_adds_is_the_same_in_another_unit(records, in_ms, counted):
    of_ms = choose_thresholds(records, costs_of(records), in_ms)
    counted = counted.replace("1.5ms", "1500multiply-adds")
    costs = ExitCosts(1000 * costs_of(records).values, "multiply-adds")
    choice = choose_thresholds(records, costs, counted)
    assert choice.thresholds == of_ms.thresholds and choice.unit == "multiply-adds"
    assert choice.expected_cost == pytest.approx(1000 * of_ms.expected_cost)
    assert "1.5 ms a sample" in of_ms.rule and "1,500 multiply-adds a sample" in choice.rule


@pytest.mark.parametrize("goal", ["accuracy>=last-0%", "accuracy>=last-10%", "accuracy>=50%"])
def test_an_accuracy_gets_the_cheapest_setting_that_has_it(records, goal):
    costs, last = costs_of(records), records.exit_accuracies()[-1]
    level = {"accuracy>=last-0%": last, "accuracy>=last-10%": last - 0.1, "accuracy>=50%": 0.5}[goal]
    choice = choose_thresholds(records, costs, goal)
    accurate = [point for point in brute_force(records, costs) if point[0] >= level - 1e-9]
    best = min(accurate, key=lambda point: (point[1], -point[0]))
    assert (choice.accuracy, choice.expected_cost) == pytest.approx(best)
    assert (f"the last exit's {100 * last:.2f} %" in choice.rule) == ("last" in goal)

"""Goals: what each chooses, against a brute force; how goals are written; and what cannot be had."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, next_float, records_of

from branchynet.errors import ThresholdError
from branchynet.thresholds import (
    KNEE_RULE,
    ExitCosts,
    ExitRecords,
    Found,
    choose_thresholds,
    knee,
    parse_goal,
    promise,
    register_goal,
    thresholds_for_shares,
)
from branchynet.thresholds.goals import GOALS
from branchynet.thresholds.reliability import reliable_below

EXAMPLES = ["knee", "quantile=0.5", "latency<=1.5ms", "budget<=1.5ms", "accuracy>=last-5%", "accuracy>=60%"]
EXAMPLES += ["risk<=5%@90%", "expected-risk<=5%", "bin-accuracy>=80%"]


def brute_force(records, costs):
    """(accuracy, expected cost) of every setting that differs from the others."""
    ladders = [[0.0, *np.unique(scores).tolist(), 99.0] for scores in records.scores[:-1]]
    outcomes = records.evaluate(list(itertools.product(*ladders)))
    return list(zip(outcomes.accuracies, outcomes.exit_shares @ costs.values))


@pytest.fixture(params=[2, 3])
def records(request, rng):
    """Few enough samples for a brute force over all settings."""
    return make_records(rng, 30 if request.param == 2 else 12, request.param)


def test_what_an_exit_costs_may_be_nothing_and_is_not_changed_afterwards():
    costs = ExitCosts([0, 1])
    assert costs.values.tolist() == [0, 1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        costs.values = np.ones(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_goal("knee").text = "quantile=0.5"


# Goals that pick a candidate


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


# Goals that say how many leave


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


# The accuracy of the bin


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


# What cannot be had, read or used


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ("latency<=0.5ms", r"^latency<=0.5ms: the cheapest setting takes 1 ms$"),
        ("budget<=0.5ms", r"^budget<=0.5ms: leaving at the first exit takes 1 ms$"),
        ("accuracy>=99.99%", r"^accuracy>=99.99%: the most accurate setting has \d\d.\d\d %$"),
        ("multiply-adds<=5", "expected costs in multiply-adds, got ms"),
        ("quantile=1.5", "quantile=1.5: expected a number from 0 to 1, got 1.5"),
        ("risk<=0.5%@101%", "expected a number from 0 to 100, got 101"),
        ("exits=50,101", "expected a number from 0 to 100, got 101"),
        ("latency<=1e999ms", "expected a number from 0 to inf, got inf"),
    ],
)
def test_what_cannot_be_had_is_told_with_what_can(rng, goal, message):
    records = make_records(rng)
    with pytest.raises(ThresholdError, match=message):
        choose_thresholds(records, costs_of(records), goal)


UNREADABLE = ["", "fastest", "latency<=", "latency<=5", "latency>=5ms", "risk<=1%", "quantile=-1", "quantile=nan"]


@pytest.mark.parametrize("text", [*UNREADABLE, "latency<=infms"])
def test_a_goal_that_cannot_be_read_is_answered_with_all_goals(text):
    with pytest.raises(ThresholdError) as error_info:
        parse_goal(text)
    for example in ("knee", "quantile=0.5", "latency<=0.05ms", "accuracy>=last-0.3%", "risk<=0.5%@95%", repr(text)):
        assert example in str(error_info.value)


@pytest.mark.parametrize("form", GOALS.names())
def test_the_example_of_every_goal_can_be_read(form):
    _, example, _ = GOALS.get(form)
    assert parse_goal(example).text == parse_goal(f" {example} ").text == example


def test_spaces_in_a_goal_do_not_count():
    assert parse_goal("latency <= 5e-2 ms").numbers == {"budget": 0.05}


@pytest.mark.parametrize("goal", EXAMPLES)
@pytest.mark.parametrize(("n_samples", "n_exits"), [(1, 2), (1, 3), (2, 4), (5, 1)])
def test_one_sample_or_no_early_exit_is_enough(rng, goal, n_samples, n_exits):
    records = make_records(rng, n_samples, n_exits)
    records = records_of(records.scores, np.ones((n_exits, n_samples), bool))
    choice = choose_thresholds(records, ExitCosts(np.linspace(1, 1.5, n_exits)), goal)
    assert len(choice.thresholds) == n_exits - 1 and choice.accuracy == 1
    assert all(math.isfinite(value) and value >= 0 for value in choice.thresholds)


@pytest.mark.parametrize(
    "goal", ["knee", "accuracy>=last-0.3%", "risk<=0.5%@95%", "expected-risk<=0.5%", "bin-accuracy>=99%"]
)
@pytest.mark.parametrize("lowest", [0.0, 1.0])
def test_where_early_exits_only_do_harm_none_leaves_and_t_is_the_lowest_score(rng, goal, lowest):
    scores = make_records(rng, 100).scores + np.float32(lowest)
    records = ExitRecords(scores, np.stack([np.ones(100, int), np.zeros(100, int)]), np.zeros(100, int), lowest)
    choice = choose_thresholds(records, costs_of(records), goal)
    assert choice.thresholds == (lowest,) and choice.exit_shares == (0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, c: (r.take(slice(0)), c), "at least one validation sample"),
        (lambda r, c: (ExitRecords(r.scores * np.float32("nan"), r.predictions, r.labels), c), "finite scores"),
        (lambda r, c: (ExitRecords(r.scores + np.float32("inf"), r.predictions, r.labels), c), "finite scores"),
        (lambda r, c: (r, ExitCosts([1.0])), "expected 2 costs, one for each exit, got 1"),
    ],
)
def test_records_and_costs_that_make_no_sense_are_refused(rng, change, message):
    records = make_records(rng)
    with pytest.raises(ThresholdError, match=message):
        choose_thresholds(*change(records, costs_of(records)), "knee")


def test_a_goal_of_ones_own_is_one_function_and_promises_what_it_says(rng):
    def so_many_leave(test, costs, thresholds, n_validation, share, samples):
        return promise("leaving", "<=", share, float(test.evaluate([thresholds]).exit_shares[0, 0]))

    @register_goal("first-exit <= {share}of{samples}", example="first-exit<=0.5of10", promise=so_many_leave)
    def at_first_exit(problem, share, samples):
        settings = problem.settings
        index = np.flatnonzero(settings.exit_shares[:, 0] <= share)[-1]
        return Found(settings.thresholds[index], "mine", {"samples": samples})

    records = make_records(rng)
    choice = choose_thresholds(records, costs_of(records), "first-exit <= 0.25 of 7")
    assert choice.exit_shares[0] == 0.25 and choice.rule == "mine" and choice.details == {"samples": 7}
    held = parse_goal(choice.goal).promise_on(records, costs_of(records), choice.thresholds, 200)
    assert held == {"quantity": "leaving", "relation": "<=", "limit": 0.25, "value": 0.25, "met": True}
    assert not parse_goal("first-exit<=0.2of7").promise_on(records, costs_of(records), choice.thresholds, 200)["met"]
    with pytest.raises(ThresholdError, match="first-exit<=0.5of10"):
        parse_goal("unheard of")
    with pytest.raises(ThresholdError, match="is taken"):
        register_goal("first-exit<={share}of{samples}", example="the same form, but for spaces")(at_first_exit)


def test_a_goal_of_ones_own_need_not_promise_anything_and_the_last_one_that_fits_is_taken(rng):
    register_goal("knee{nth}", example="knee2")(lambda problem, nth: Found((nth,), "first"))
    register_goal("knee2", example="knee2")(lambda problem: Found((0.5,), "last"))
    records = make_records(rng)
    assert choose_thresholds(records, costs_of(records), "knee2").rule == "last"
    assert choose_thresholds(records, costs_of(records), "knee3").thresholds == (3.0,)
    assert parse_goal("knee3").promise_on(records, costs_of(records), (3.0,), 200) is None


@pytest.mark.parametrize("goal", EXAMPLES)
def test_the_same_samples_give_the_same_choice(rng, goal):
    records = make_records(rng, 100, 3)
    first, second = (choose_thresholds(records, costs_of(records), goal) for _ in range(2))
    assert first == second

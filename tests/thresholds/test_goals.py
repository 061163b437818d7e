"""Goals: how they are written, what cannot be had, and those of one's own."""

import math

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, records_of

from branchynet.errors import ThresholdError
from branchynet.thresholds import (
    ExitCosts,
    ExitRecords,
    Found,
    choose_thresholds,
    parse_goal,
    promise,
    register_goal,
)
from branchynet.thresholds.goals import GOALS

EXAMPLES = ["knee", "quantile=0.5", "latency<=1.5ms", "budget<=1.5ms", "accuracy>=last-5%", "accuracy>=60%"]
EXAMPLES += ["risk<=5%@90%", "expected-risk<=5%", "bin-accuracy>=80%"]


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


def test_the_accuracy_that_can_be_had_is_told_to_a_hundredth_of_a_point():
    records = records_of([[0.1, 0.2, 0.3], [0] * 3], [[1, 0, 0], [1, 1, 0]])
    with pytest.raises(ThresholdError, match=r"the most accurate setting has 66\.67 %$"):
        choose_thresholds(records, costs_of(records), "accuracy>=70%")


def test_the_halves_of_pareto_testing_are_drawn_with_seed_0_by_default(rng):
    records = make_records(rng, 400, 3)
    by_default, *by_seed = (
        choose_thresholds(records, costs_of(records), "risk<=5%@90%", **seed)
        for seed in ({}, *({"test_split_seed": number} for number in range(4)))
    )
    assert by_default == by_seed[0] and len({choice.thresholds for choice in by_seed}) > 1


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

"""Thresholds that find themselves: goals, the settings they choose from, and their guarantees."""

import itertools
import math

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, naive_exits

from branchynet.choosers import (
    ExitCosts,
    Found,
    choose_thresholds,
    evaluate_settings,
    goals,
    parse_goal,
    register_goal,
    thresholds_for_shares,
)
from branchynet.choosers.candidates import candidate_thresholds, get_scores
from branchynet.choosers.reliability import reliable_below
from branchynet.errors import ThresholdError
from branchynet.thresholds import KNEE_RULE, ExitRecords, evaluate, knee

EXAMPLES = (
    "knee",
    "quantile=0.5",
    "latency<=1.5ms",
    "budget<=1.5ms",
    "accuracy>=last-5%",
    "accuracy>=60%",
    "risk<=5%@90%",
    "expected-risk<=5%",
    "bin-accuracy>=80%",
)


def brute_force(records, costs):
    """(accuracy, expected cost) of every setting that differs from the others, by the evaluation of one at a time."""
    ladders = [[0.0, *np.unique(scores).tolist(), 99.0] for scores in get_scores(records)[:-1]]
    evaluations = [evaluate(records, setting) for setting in itertools.product(*ladders)]
    return [(e.accuracy, float(np.dot(e.exit_shares, costs.values))) for e in evaluations]


@pytest.fixture(params=[2, 3])
def records(request, rng):
    """Few enough samples for a brute force over all settings."""
    return make_records(rng, 30 if request.param == 2 else 12, request.param)


# Settings, evaluated at once


@pytest.mark.parametrize("n_exits", [1, 2, 3, 5])
def test_settings_are_evaluated_as_one_at_a_time(rng, n_exits):
    records = make_records(rng, 50, n_exits)
    thresholds = np.concatenate([candidate_thresholds(records)[::7], rng.random((5, n_exits - 1))])
    settings = evaluate_settings(records, thresholds)
    last_right = records.predictions[-1] == records.labels
    for index, setting in enumerate(thresholds):
        evaluation = evaluate(records, setting)
        assert settings.accuracies[index] == evaluation.accuracy
        np.testing.assert_allclose(settings.exit_shares[index], evaluation.exit_shares)
        answers = np.array([records.predictions[e, i] for i, e in enumerate(naive_exits(records, setting))])
        assert settings.n_spoilt[index] == (last_right & (answers != records.labels)).sum()


@pytest.mark.parametrize("n_exits", [2, 3, 4])
def test_never_and_always_leaving_are_among_the_candidates(rng, n_exits):
    records = make_records(rng, 50, n_exits)
    candidates = candidate_thresholds(records)
    shares = evaluate_settings(records, candidates).exit_shares
    assert (candidates[0] == 0).all() and shares[0, -1] == 1
    everyone = candidates[shares[:, 0] == 1]
    assert (everyone[:, 0] > math.log(4)).any() and np.isfinite(everyone).all()


def test_with_one_early_exit_and_few_samples_every_split_of_the_samples_is_tried(rng):
    records = make_records(rng, 60)
    n_leaving = evaluate_settings(records, candidate_thresholds(records)).n_leaving[:, 0]
    n_distinct = [(get_scores(records)[0] < score).sum() for score in np.unique(get_scores(records)[0])]
    assert set(n_leaving) == {*n_distinct, 60}


@pytest.mark.parametrize(("n_exits", "most"), [(2, 1001), (3, 61**2), (4, 1640), (9, 1640)])
def test_there_are_not_more_candidates_than_can_be_tried_fast(rng, n_exits, most):
    assert 100 < len(candidate_thresholds(make_records(rng, 2000, n_exits))) <= most


def test_scores_may_be_negative_and_far_from_zero(rng):
    records = make_records(rng, 50)
    shifted = ExitRecords(get_scores(records) - 1, records.predictions, records.labels)
    shares = evaluate_settings(shifted, candidate_thresholds(shifted)).exit_shares[:, 0]
    assert shares.min() == 0 and shares.max() == 1
    far = ExitRecords(get_scores(records) + np.float32(1e9), records.predictions, records.labels)
    shares = evaluate_settings(far, candidate_thresholds(far)).exit_shares[:, 0]
    assert shares.min() == 0 and shares.max() == 1


# Goals that pick a candidate


def test_the_knee_is_that_of_the_candidates(records):
    costs = costs_of(records)
    choice = choose_thresholds(records, costs, "knee")
    accuracies, times = zip(*brute_force(records, costs))
    index = knee(times, accuracies, len(records.labels))
    assert (choice.accuracy, choice.expected_cost) == pytest.approx((accuracies[index], times[index]))
    assert choice.rule == KNEE_RULE and choice.goal == "knee" and choice.unit == "ms"


def test_a_grid_of_ones_own_is_chosen_from(rng):
    records = make_records(rng)
    choice = choose_thresholds(records, costs_of(records), "knee", grid=[(0.25,), (0.75,)])
    assert choice.thresholds in {(0.25,), (0.75,)}


@pytest.mark.parametrize("budget", [1.0, 1.2, 1.55, 3.0])
def test_a_budget_gets_the_most_accurate_setting_within_it(records, budget):
    costs = costs_of(records)
    choice = choose_thresholds(records, costs, f"latency<={budget}ms")
    affordable = [point for point in brute_force(records, costs) if point[1] <= budget + 1e-9]
    best = max(affordable, key=lambda point: (point[0], -point[1]))
    assert (choice.accuracy, choice.expected_cost) == pytest.approx(best)


def test_a_budget_in_multiply_adds_is_the_same_in_another_unit(records):
    in_ms = choose_thresholds(records, costs_of(records), "latency<=1.5ms")
    counted = ExitCosts(1000 * costs_of(records).values, "multiply-adds")
    choice = choose_thresholds(records, counted, "multiply-adds<=1500")
    assert choice.thresholds == in_ms.thresholds and choice.unit == "multiply-adds"
    assert choice.expected_cost == pytest.approx(1000 * in_ms.expected_cost)


@pytest.mark.parametrize("goal", ["accuracy>=last-0%", "accuracy>=last-10%", "accuracy>=50%"])
def test_an_accuracy_gets_the_cheapest_setting_that_has_it(records, goal):
    costs = costs_of(records)
    level = 0.5 if "50" in goal else records.exit_accuracies()[-1] - (0.1 if "10" in goal else 0)
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
    found = evaluate(records, thresholds_for_shares(records, shares)).exit_shares
    np.testing.assert_allclose(found[:2], shares, atol=0.002)


def test_samples_with_equal_scores_leave_together():
    scores = np.array([[0.0, 1.0, 1.0, 1.0, 2.0], [0.0] * 5], np.float32)
    records = ExitRecords(scores, np.zeros((2, 5), np.int32), np.zeros(5, np.int32))
    assert choose_thresholds(records, ExitCosts([1, 2]), "quantile=0.4").exit_shares == (0.8, 0.2)


@pytest.mark.parametrize("n_exits", [2, 3, 5])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_msdnets_budget_is_met_within_one_sample(rng, n_exits, part):
    records = make_records(rng, 200, n_exits)
    values = np.cumsum(rng.random(n_exits) + 0.1)
    budget = values[0] + part * (values[-1] - values[0])
    choice = choose_thresholds(records, ExitCosts(values), f"budget<={float(budget)}ms")
    one_sample = (values[-1] - values[0]) / 200
    assert budget - one_sample - 1e-9 <= choice.expected_cost <= budget + 1e-9
    ratios = np.array(choice.exit_shares[1:]) / np.maximum(choice.exit_shares[:-1], 1e-9)
    if part == 0.5:
        assert np.ptp(ratios) < 0.15, "shares proportional to q^k, up to whole samples"


def test_a_larger_budget_than_the_last_exit_needs_leaves_all_to_it(rng):
    records = make_records(rng, n_samples=5000)
    choice = choose_thresholds(records, costs_of(records), "budget<=7ms")
    assert choice.thresholds == (0.0,) and choice.expected_cost == 2


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
        is_right = rng.random(40) > scores / 40
        fitted = naive_isotonic(is_right[np.argsort(scores)])
        expected = (fitted >= level - 1e-9).sum()
        assert (scores < reliable_below(scores, is_right, level, 4)).sum() == expected


def test_bins_at_an_exit_are_of_the_samples_that_reach_it(rng):
    records = make_records(rng, 300, 3)
    choice = choose_thresholds(records, costs_of(records), "bin-accuracy>=90%")
    reaching = get_scores(records)[0] >= np.float32(choice.thresholds[0])
    is_right = records.predictions[1] == records.labels
    assert choice.thresholds[1] == reliable_below(get_scores(records)[1, reaching], is_right[reaching], 0.9, 4)
    assert all(accuracy >= 0.9 for accuracy in choice.details["accuracy_of_leaving"])


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
    ],
)
def test_what_cannot_be_had_is_told_with_what_can(rng, goal, message):
    records = make_records(rng)
    with pytest.raises(ThresholdError, match=message):
        choose_thresholds(records, costs_of(records), goal)


@pytest.mark.parametrize("text", ["", "fastest", "latency<=", "latency<=5", "latency>=5ms", "risk<=1%", "quantile=-1"])
def test_a_goal_that_cannot_be_read_is_answered_with_all_goals(text):
    with pytest.raises(ThresholdError) as error_info:
        parse_goal(text)
    for example in ("knee", "quantile=0.5", "latency<=0.05ms", "accuracy>=last-0.3%", "risk<=0.5%@95%", repr(text)):
        assert example in str(error_info.value)


@pytest.mark.parametrize("example", [entry.example for entry in goals._REGISTRY])
def test_every_example_can_be_read(example):
    assert parse_goal(example).text == parse_goal(f" {example} ").text == example


def test_spaces_in_a_goal_do_not_count():
    assert parse_goal("latency <= 5e-2 ms").numbers == {"budget": 0.05}


@pytest.mark.parametrize("goal", EXAMPLES)
@pytest.mark.parametrize(("n_samples", "n_exits"), [(1, 2), (1, 3), (2, 4), (5, 1)])
def test_one_sample_or_no_early_exit_is_enough(rng, goal, n_samples, n_exits):
    records = make_records(rng, n_samples, n_exits)
    records = ExitRecords(get_scores(records), np.tile(records.labels, (n_exits, 1)), records.labels)
    choice = choose_thresholds(records, ExitCosts(np.linspace(1, 1.5, n_exits)), goal)
    assert len(choice.thresholds) == n_exits - 1 and choice.accuracy == 1
    assert all(math.isfinite(value) and value >= 0 for value in choice.thresholds)


def test_where_early_exits_only_do_harm_none_leaves_and_t_is_0(rng):
    records = make_records(rng, 100)
    wrong = np.stack([(records.labels + 1) % 4, records.labels])
    records = ExitRecords(get_scores(records), wrong, records.labels)
    for goal in ("knee", "accuracy>=last-0.3%", "risk<=0.5%@95%", "expected-risk<=0.5%", "bin-accuracy>=99%"):
        choice = choose_thresholds(records, costs_of(records), goal)
        assert choice.thresholds == (0.0,) and choice.exit_shares == (0.0, 1.0), goal


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, c: (ExitRecords(get_scores(r)[:, :0], r.predictions[:, :0], r.labels[:0]), c), "at least one"),
        (lambda r, c: (ExitRecords(get_scores(r) * np.nan, r.predictions, r.labels), c), "finite scores"),
        (lambda r, c: (r, ExitCosts([1.0])), "expected 2 costs >= 0"),
        (lambda r, c: (r, ExitCosts([1.0, float("nan")])), "expected 2 costs >= 0"),
        (lambda r, c: (r, ExitCosts([-1.0, 1.0])), "expected 2 costs >= 0"),
    ],
)
def test_records_and_costs_that_make_no_sense_are_refused(rng, change, message):
    records = make_records(rng)
    with pytest.raises(ThresholdError, match=message):
        choose_thresholds(*change(records, costs_of(records)), "knee")


def test_a_goal_of_ones_own_is_one_function(rng, monkeypatch):
    monkeypatch.setattr(goals, "_REGISTRY", list(goals._REGISTRY))

    @register_goal("first-exit<={share}of{samples}", example="first-exit<=0.5of10")
    def at_first_exit(problem, share, samples):
        settings = problem.settings
        index = np.flatnonzero(settings.exit_shares[:, 0] <= share)[-1]
        return Found(settings.thresholds[index], "mine", {"samples": samples})

    records = make_records(rng)
    choice = choose_thresholds(records, costs_of(records), "first-exit <= 0.25 of 7")
    assert choice.exit_shares[0] == 0.25 and choice.rule == "mine" and choice.details == {"samples": 7}
    with pytest.raises(ThresholdError, match="first-exit<=0.5of10"):
        parse_goal("unheard of")


@pytest.mark.parametrize("goal", EXAMPLES)
def test_the_same_samples_give_the_same_choice(rng, goal):
    records = make_records(rng, 100, 3)
    first, second = (choose_thresholds(records, costs_of(records), goal) for _ in range(2))
    assert first == second

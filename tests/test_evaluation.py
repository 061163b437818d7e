"""Comparing measures and goals: the pure parts against naive references, the comparisons on a tiny network."""

import math

import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_logits, tiny_measure, tiny_net

from branchynet import benchmark, evaluation
from branchynet.choosers import ExitCosts, evaluate_settings, parse_goal
from branchynet.confidence import Measure, OpenGan, softmax
from branchynet.evaluation import Recorded, mix_at_accuracy, mix_at_cost
from branchynet.report import verdict
from branchynet.thresholds import evaluate

COSTS = ExitCosts(np.array([1.0, 2.0, 4.0]))


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(benchmark, "MIN_SAMPLES", 5)


@pytest.fixture(scope="module")
def records():
    return Recorded(*tiny_logits(300)).records("entropy")


# Curves


def test_between_two_settings_a_mixture_of_both_costs_what_was_asked_for(rng):
    costs, accuracies = rng.random(9), rng.random(9)
    for cost in rng.uniform(costs.min(), costs.max(), 20):
        weights = mix_at_cost(costs, cost)
        assert weights @ costs == pytest.approx(cost) and weights.sum() == pytest.approx(1)
        order = np.argsort(costs)
        assert weights @ accuracies == pytest.approx(np.interp(cost, costs[order], accuracies[order]))


def test_the_ends_of_a_curve():
    assert mix_at_cost([2, 1, 3], 0.9) is None, "nothing is so cheap"
    assert mix_at_cost([2, 1, 3], 1).tolist() == [0, 1, 0]
    assert mix_at_cost([2, 1, 3], 9).tolist() == [0, 0, 1], "the most expensive setting is within the budget"
    assert mix_at_cost([2], 2).tolist() == mix_at_accuracy([2], [0.5], 0.5).tolist() == [1]
    assert mix_at_accuracy([1, 2], [0.5, 0.7], 0.8) is None, "nothing is so accurate"


def test_the_first_place_of_a_curve_with_an_accuracy_counts():
    costs, accuracies = [1, 2, 3, 4], [0.5, 0.7, 0.6, 0.9]
    assert mix_at_accuracy(costs, accuracies, 0.65) @ costs == pytest.approx(1.75)
    assert mix_at_accuracy(costs, accuracies, 0.75) @ costs == pytest.approx(3.5)
    assert mix_at_accuracy(costs, accuracies, 0.4) @ costs == 1, "the cheapest is more accurate than asked for"
    assert mix_at_accuracy([1, 1], [0.2, 0.8], 0.5).tolist() == [0, 1], "of equally cheap ones the more accurate"


# Calibration


def test_reliability_bins_are_means_over_samples(rng):
    confidences, right = rng.random(200), rng.random(200) < 0.5
    confidences[:2] = 0, 1
    bins = evaluation.reliability_bins(confidences, right, n_bins=4)
    error = 0
    for number, entry in enumerate(bins):
        inside = [n for n, value in enumerate(confidences) if min(int(4 * value), 3) == number]
        assert entry["count"] == len(inside)
        assert entry["confidence"] == pytest.approx(np.mean([confidences[n] for n in inside]))
        assert entry["accuracy"] == pytest.approx(np.mean([right[n] for n in inside]))
        error += len(inside) / 200 * abs(entry["confidence"] - entry["accuracy"])
    assert evaluation.expected_calibration_error(bins) == pytest.approx(error)


def test_empty_bins_are_left_out_and_certainty_that_is_right_has_no_error():
    bins = evaluation.reliability_bins(np.ones(3), np.full(3, True), n_bins=10)
    assert bins == [{"confidence": 1, "accuracy": 1, "count": 3}]
    assert evaluation.expected_calibration_error(bins) == 0


def test_the_right_temperature_lowers_the_calibration_error():
    logits, labels = tiny_logits(1000, n_exits=2)
    temperatures = (20 * tiny_measure("calibrated-entropy").tau_[:2]).tolist()
    for row, exit_logits, temperature in zip(
        evaluation.reliability(Recorded(20 * logits, labels), temperatures), 20 * logits, temperatures
    ):
        assert row["after"]["error"] < row["before"]["error"]
        assert row["temperature"] == temperature
        right = exit_logits.argmax(axis=1) == labels
        confidences = softmax((exit_logits / temperature).astype(np.float64)).max(axis=1)
        assert row["after"]["bins"] == evaluation.reliability_bins(confidences, right)


# Recorded samples


def test_parts_share_no_sample_and_leave_none_out():
    recorded = Recorded(np.arange(7, dtype=np.float32)[None, :, None], np.arange(7))
    first, second = recorded.parted(seed=1)
    assert (len(first.labels), len(second.labels)) == (3, 4)
    assert sorted([*first.labels, *second.labels]) == list(range(7))
    assert (first.logits[0, :, 0] == first.labels).all(), "labels stay with their logits"
    assert recorded.parted(seed=1)[0].labels.tolist() == first.labels.tolist()


def test_recorded_logits_are_those_of_the_network(device):
    net, (x, labels) = tiny_net(), tiny_batch(9)
    net.to_device(device)
    recorded = Recorded.of(net, x, labels)
    assert recorded.logits.shape == (3, 9, 3) and recorded.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("thresholds", [(0.0, 0.0), (0.4, 0.7), (9.0, 0.0)])
def test_what_a_setting_gives_is_what_evaluation_says(records, thresholds):
    expected = evaluate(records, thresholds)
    given = evaluation.outcome(records, COSTS, thresholds)
    assert given["accuracy_pct"] == pytest.approx(100 * expected.accuracy)
    assert given["exit_pct"] == pytest.approx([100 * share for share in expected.exit_shares])
    assert given["cost"] == pytest.approx(expected.exit_shares @ COSTS.values)
    assert given["early_pct"] == pytest.approx(100 - given["exit_pct"][-1])
    assert evaluation.right_at(records, thresholds).mean() == pytest.approx(expected.accuracy)


def test_a_difference_is_paired():
    right, other = np.array([True, True, False, True]), np.array([True, False, False, True])
    assert evaluation.difference(right, right) == {"points": 0, "standard_error_points": 0}
    result = evaluation.difference(right, other)
    assert result["points"] == 25
    assert result["standard_error_points"] == pytest.approx(100 * math.sqrt(0.25 * 0.75 / 4))


# Settings of a measure


class Biased(Measure):
    """Scores that are as good as its setting says: 1 for the entropy's order, -1 for the opposite."""

    setting_names = ("sign",)
    fitted_names = ("fitted_to_",)

    def __init__(self, sign=-1):
        self.sign = sign

    def fit(self, logits_per_exit, labels, seed=0):
        self.fitted_to_ = labels
        return self

    def scores(self, exit_index, logits, earlier=()):
        assert exit_index < 2, "the last exit's score decides nothing"
        assert len(logits) + len(self.fitted_to_) == 101, "fitted to one half, judged on the other"
        return -self.sign * logits.max(axis=1)


def test_settings_are_judged_on_samples_that_were_not_fitted_to():
    tried = evaluation.try_settings(Biased, {"sign": (-1, 1)}, Recorded(*tiny_logits(101)))
    assert [entry["settings"] for entry in tried] == [{"sign": -1}, {"sign": 1}]
    assert tried[0]["auroc"] < 0.5 < tried[1]["auroc"]
    assert evaluation.best_settings(tried) == {"sign": 1}


def test_where_nothing_can_be_judged_the_first_settings_are_taken():
    always_right = Recorded(9 * np.eye(3, dtype=np.float32)[[[0, 1, 2] * 4]], np.array([0, 1, 2] * 4))
    grid = {"n_steps": (1, 2), "batch_size": (2,)}
    tried = evaluation.try_settings(OpenGan, grid, always_right)
    assert [entry["auroc"] for entry in tried] == [None, None]
    assert evaluation.best_settings(tried) == {"n_steps": 1, "batch_size": 2}
    assert evaluation.best_settings([]) == {}


def test_measures_are_fitted_to_the_samples_that_they_are_meant_for():
    validation, training = Recorded(*tiny_logits(80)), Recorded(*tiny_logits(120, seed=1))
    names = ["entropy", "calibrated-entropy", "openmax"]
    fitted = evaluation.fit_measures(names, validation, training, {"openmax": {"eta": (5, 9)}})
    assert [fitted[name].n_samples for name in names] == [0, 80, 120]
    assert len(fitted["openmax"].tried) == 2
    assert fitted["openmax"].measure.eta == evaluation.best_settings(fitted["openmax"].tried)["eta"]


# Promises of goals


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        ("latency<=2.5ms", lambda given, last: given["cost"], lambda value: value <= 2.5),
        ("accuracy>=60%", lambda given, last: given["accuracy_pct"], lambda value: value >= 60),
        ("accuracy>=last-3%", lambda given, last: given["accuracy_pct"] - last, lambda value: value >= -3),
    ],
)
@pytest.mark.parametrize("thresholds", [(0.0, 0.0), (0.5, 0.5), (9.0, 0.0)])
def test_a_promise_is_held_against_the_test_samples(records, goal, value, met, thresholds):
    promise = evaluation.promise_on_test(parse_goal(goal), records, COSTS, thresholds, 100)
    last_pct = 100 * float(records.exit_accuracies()[-1])
    expected = value(evaluation.outcome(records, COSTS, thresholds), last_pct)
    assert promise["value"] == pytest.approx(expected)
    assert promise["met"] == met(expected)


def test_promises_about_spoilt_samples_and_those_who_leave(records):
    thresholds = (0.5, 0.6)
    spoilt = evaluate_settings(records, [thresholds]).n_spoilt[0] / 300

    def promise(goal):
        return evaluation.promise_on_test(parse_goal(goal), records, COSTS, thresholds, 300)

    assert promise("risk<=0%@95%")["value"] == promise("expected-risk<=1%")["value"] == pytest.approx(100 * spoilt)
    assert not promise("risk<=0%@95%")["met"] and promise("risk<=99%@95%")["met"]
    shares = evaluate(records, thresholds).exit_shares
    of_reaching = [shares[0], shares[1] / (1 - shares[0])]
    farthest = max(of_reaching, key=lambda share: abs(share - of_reaching[0]))
    assert promise(f"quantile={of_reaching[0]}")["value"] == pytest.approx(100 * farthest)
    assert promise("bin-accuracy>=10%")["met"] and not promise("bin-accuracy>=100%")["met"]
    assert promise("knee") is None
    nobody = evaluation.promise_on_test(parse_goal("bin-accuracy>=10%"), records, COSTS, (0, 0), 300)
    assert nobody is None, "nobody leaves early"


# Comparisons


@pytest.fixture(scope="module")
def study():
    """A study of a tiny network that answers at random, timed on a few samples."""
    net = tiny_net()
    net.initialise(SHAPE)
    recorded = [Recorded.of(net, *tiny_batch(60, seed)) for seed in (1, 2)]
    measures = {name: tiny_measure(name) for name in ("entropy", "margin", "patience", "openmax")}
    return net, evaluation.Study.of(net, *recorded, measures, tiny_batch(20)[0], "arrays", budget_s=0.02)


def test_times_are_of_every_exit_with_every_measure(study):
    _, study = study
    assert set(study.costs) == set(study.measures)
    for costs in study.costs.values():
        assert costs.values.shape == (3,) and (costs.values > 0).all()
    assert 5 <= study.n_timed <= 20


def test_every_measure_is_read_at_the_papers_cost_and_accuracy(study):
    _, study = study
    reference = study.papers_choice([(0.0, 0.0), (0.9, 1.0)])
    rows = evaluation.compare_measures(study, reference)
    assert [row["name"] for row in rows] == list(study.measures)
    papers = evaluation.outcome(study.test_records["entropy"], study.costs["entropy"], reference.thresholds)
    for row in rows:
        validation = [(point["validation_cost"], point["validation_accuracy_pct"]) for point in row["curve"]]
        assert validation == sorted(validation), "on a front what is slower is more accurate"
        for point in row["curve"]:
            expected = evaluate(study.test_records[row["name"]], point["thresholds"])
            assert point["accuracy_pct"] == pytest.approx(100 * expected.accuracy)
        if row["at_equal_ms"] is not None:
            slowest = max(point["cost"] for point in row["curve"])
            assert row["at_equal_ms"]["cost"] == pytest.approx(min(papers["cost"], slowest))
        if row["at_equal_accuracy"] is not None:
            at_the_fastest = row["curve"][0]["accuracy_pct"]
            expected = pytest.approx(max(papers["accuracy_pct"], at_the_fastest))
            assert row["at_equal_accuracy"]["accuracy_pct"] == expected
        for reading in filter(None, (row["at_equal_ms"], row["at_equal_accuracy"])):
            points = reading["accuracy_pct"] - papers["accuracy_pct"]
            assert reading["difference"]["points"] == pytest.approx(points, abs=1e-9)


def test_a_goal_that_cannot_be_had_says_why(study):
    _, study = study
    rows = evaluation.compare_goals(study, ["knee", "accuracy>=100%", "multiply-adds<=9e9"], [1, 2, 3])
    assert [set(row) == {"goal", "problem"} for row in rows] == [False, True, False]
    assert "the most accurate setting has" in rows[1]["problem"]
    assert rows[2]["promise"]["value"] <= 3


def test_unknown_images_are_known_by_their_scores(study):
    _, study = study
    unknown = Recorded(1e3 + study.test.logits, study.test.labels)
    rows = evaluation.compare_on_unknown(study, unknown, study.papers_choice([(0.9, 1.0)]))
    by_name = {row["name"]: row for row in rows}
    assert by_name["margin"]["auroc"] == pytest.approx([0.5] * 3, abs=0.05), "shifted logits are the same to a softmax"
    assert min(by_name["openmax"]["refused"]["unknown"]["by_exit_pct"]) > 90, "but not to a distance"
    assert by_name["entropy"]["refused"] is None
    for row in rows:
        known = evaluate(study.test_records[row["name"]], row["thresholds"])
        assert row["known_early_pct"] == pytest.approx(100 * sum(known.exit_shares[:-1]))


def test_the_best_combination_is_faster_and_no_less_accurate_on_validation(study):
    net, study = study
    reference = study.papers_choice([(0.0, 0.0)])
    result = evaluation.best_combination(study, ["quantile=1", "quantile=0", "accuracy>=100%"], [1, 2, 3], reference)
    assert result["n_tried"] == 2 * len(study.measures), "the goal that cannot be had is not counted"
    if result["best"]:
        assert result["best"]["validation"]["accuracy_pct"] >= 100 * reference.accuracy - 1e-9
    best = {"measure": "margin", "thresholds": [9.0, 0.0]}
    timed = evaluation.time_against_papers_way(study, net, tiny_batch(20)[0], best, reference, budget_s=0.02)
    assert timed["best"]["exit_pct"] == [100, 0, 0] and timed["reference"]["exit_pct"] == [0, 0, 100]
    assert timed["gain"]["low"] <= timed["gain"]["value"] <= timed["gain"]["high"]
    expected = timed["best"]["accuracy_pct"] - timed["reference"]["accuracy_pct"]
    assert timed["difference"]["points"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "high", "points", "words"),
    [
        (0.99, 1.2, 0.0, "gains nothing that can be told from noise"),
        (1.0, 1.2, 0.0, "gains nothing that can be told from noise"),
        (0.8, 0.9, 0.0, "It is slower"),
        (1.1, 1.2, 0.15, "an accuracy that cannot be told from the paper's way"),
        (1.1, 1.2, 0.25, "at a higher accuracy"),
        (1.1, 1.2, -0.25, "at the cost of accuracy"),
    ],
)
def test_the_verdict_follows_from_the_numbers(low, high, points, words):
    sides = {"latency_ms": {"mean": 0.1}, "accuracy_pct": 99.0}
    gain = {"value": (low + high) / 2, "low": low, "high": high}
    difference = {"points": points, "standard_error_points": 0.1}
    timed = {"best": sides, "reference": sides, "gain": gain, "saved_ms": 0.004, "difference": difference}
    best = {"measure": "margin", "goal": "knee"}
    assert words in verdict({"n_tried": 7, "best": best, "timed": timed})


def test_where_nothing_is_faster_nothing_is_gained():
    assert "gain nothing" in verdict({"n_tried": 7, "best": None, "timed": None})

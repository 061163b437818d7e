"""Measures, goals, unknown images and combinations compared, on three exits of which the later are more often right."""

import dataclasses

import numpy as np
import pytest
from future import (
    Recorded,
    Study,
    best_combination,
    compare_goals,
    compare_measures,
    compare_on_unknown,
    time_against_reference,
)
from tiny import tiny_batch, tiny_logits, tiny_measure, tiny_net

from branchynet.thresholds import ExitCosts, parse_goal

MEASURES = ("entropy", "margin", "patience", "openmax")
# What the clock would say, without its noise: patience is the dearest.
EXIT_MS = {name: np.array([1.0, 2.0, 4.0]) * (1.5 if name == "patience" else 1) for name in MEASURES}


@pytest.fixture(scope="module")
def timed():
    """A study timed on a few samples, of whose answers the recorded ones are independent."""
    net = tiny_net()
    validation, test = (Recorded(*tiny_logits(200, seed=seed)) for seed in (1, 2))
    measures = {name: tiny_measure(name) for name in MEASURES}
    return Study.of(net, validation, test, measures, [(0.8, 0.8)], tiny_batch(20)[0], "arrays", budget_s=0.02)


@pytest.fixture(scope="module")
def study(timed):
    """The same study, with costs that are the same each time."""
    return dataclasses.replace(timed, costs={name: ExitCosts(ms) for name, ms in EXIT_MS.items()})


def with_reference(study, *grid):
    return dataclasses.replace(study, grid=np.array(grid))


def row_of(rows, name):
    return next(row for row in rows if row["name"] == name)


def test_times_are_of_every_exit_with_every_measure(timed):
    assert list(timed.costs) == list(timed.cost_errors) == list(MEASURES)
    for costs in timed.costs.values():
        assert costs.values.shape == (3,) and (costs.values > 0).all()
    assert timed.n_timed == 20


def test_the_reference_is_the_knee_of_the_grid_on_validation_samples(study):
    study = with_reference(study, (0.6, 0.6), (0.62, 0.62), (9.0, 9.0))
    chosen, records = study.reference, study.validation_records["entropy"]
    assert chosen.thresholds == (0.62, 0.62), "as accurate as the most accurate one, and faster"
    assert chosen.accuracy == records.right_at((0.62, 0.62)).mean()
    expected = records.evaluate([(0.62, 0.62)]).rows(study.costs["entropy"])[0]
    assert study.on_validation("entropy", (0.62, 0.62)) == expected
    assert study.on_test("entropy", (0.62, 0.62)) != expected


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_read_at_the_cost_and_the_accuracy_of_the_reference(study, name):
    reference = study.on_test("entropy", (0.8, 0.8))
    row = row_of(compare_measures(study), name)
    validation = [(point["validation_cost"], point["validation_accuracy_pct"]) for point in row["curve"]]
    assert len(validation) > 1 and validation == sorted(validation), "on a front what is slower is more accurate"
    for point in row["curve"]:
        right = study.test_records[name].right_at(point["thresholds"])
        assert point["accuracy_pct"] == pytest.approx(100 * right.mean())
    assert row["at_equal_ms"]["cost"] == pytest.approx(reference["cost"])
    assert row["at_equal_accuracy"]["accuracy_pct"] == pytest.approx(reference["accuracy_pct"])
    for reading in (row["at_equal_ms"], row["at_equal_accuracy"]):
        points = reading["accuracy_pct"] - reference["accuracy_pct"]
        assert reading["difference"]["points"] == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize(
    ("setting", "name", "reading"),
    [((0.9, 0.9), "patience", "at_equal_ms"), ((0.4, 0.4), "openmax", "at_equal_accuracy")],
)
def test_a_measure_that_is_never_so_fast_or_never_so_accurate_has_no_reading(study, setting, name, reading):
    rows = compare_measures(with_reference(study, setting))
    assert row_of(rows, name)[reading] is None and row_of(rows, "entropy")[reading] is not None


def test_goals_are_held_against_the_test_samples_and_one_that_cannot_be_had_says_why(study):
    rows = compare_goals(study, ["knee", "latency<=0.5ms", "multiply-adds<=9e9"])
    assert [set(row) == {"goal", "problem"} for row in rows] == [False, True, False]
    assert "ms" in rows[1]["problem"] and rows[0]["promise"] is None
    multiply_adds = np.array(study.compiled["entropy"].plan.path_multiply_adds())
    assert rows[2]["test"] == study.on_test("entropy", rows[2]["thresholds"])
    assert rows[2]["promise"]["value"] == pytest.approx(multiply_adds @ rows[2]["test"]["exit_pct"] / 100)
    assert rows[2]["promise"]["met"]


def test_unknown_images_are_known_by_their_scores(study):
    unknown = Recorded(1e3 + study.test.logits, study.test.labels)
    rows = compare_on_unknown(study, unknown)
    margin, openmax = row_of(rows, "margin"), row_of(rows, "openmax")
    assert margin["auroc"] == pytest.approx([0.5] * 3, abs=0.05), "shifted logits are the same to a softmax"
    assert margin["unknown_early_pct"] == pytest.approx(margin["known_early_pct"], abs=1)
    assert min(openmax["refused"]["unknown"]["by_exit_pct"]) > 90, "but not to a distance"
    assert openmax["refused"]["unknown"]["pct"] > 90 > openmax["refused"]["known"]["pct"]
    assert row_of(rows, "entropy")["refused"] is None
    for row in rows:
        known = study.on_test(row["name"], row["thresholds"])
        assert row["known_early_pct"] == pytest.approx(known["early_pct"])


def test_the_best_combination_is_the_fastest_that_is_no_less_accurate_on_validation(study):
    study = with_reference(study, (0.0, 0.0))
    result = best_combination(study, ["quantile=1", "accuracy>=last-0%", "latency<=0.5ms"])
    assert result["n_tried"] == 2 * len(MEASURES), "the goal that cannot be had is not counted"
    goal = parse_goal("accuracy>=last-0%")
    rows = {name: study.on_validation(name, study.choose(name, goal).thresholds) for name in MEASURES}
    fastest = min(rows, key=lambda name: rows[name]["cost"])
    assert (result["best"]["measure"], result["best"]["validation"]) == (fastest, rows[fastest])
    assert result["best"]["validation"]["accuracy_pct"] >= 100 * study.reference.accuracy - 1e-9
    assert best_combination(study, ["quantile=0"])["best"] is None, "who never leaves early is not faster"


def test_the_best_combination_is_timed_against_the_reference(study):
    best = {"measure": "margin", "thresholds": [9.0, 0.0]}
    timed = time_against_reference(with_reference(study, (0.0, 0.0)), best, budget_s=0.02)
    assert timed["best"]["exit_pct"] == [100, 0, 0] and timed["reference"]["exit_pct"] == [0, 0, 100]
    assert timed["gain"]["low"] <= timed["gain"]["value"] <= timed["gain"]["high"]
    expected = timed["best"]["accuracy_pct"] - timed["reference"]["accuracy_pct"]
    assert timed["difference"]["points"] == pytest.approx(expected)

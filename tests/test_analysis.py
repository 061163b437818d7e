"""From a trained net to the figures of its record."""

import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_net

from branchynet import benchmark
from branchynet.analysis import Prepared, analyse
from branchynet.errors import ThresholdError
from branchynet.inference import record_exits
from branchynet.thresholds import KNEE_RULE, evaluate, knee

GRID = (0.5, 0.9, 1.0, 1.05, 1.2)


def initialised_net():
    net = tiny_net()
    net.initialise(SHAPE)
    return net


@pytest.fixture
def samples():
    return Prepared(*tiny_batch(60, seed=1), *tiny_batch(40, seed=2))


@pytest.fixture(autouse=True)
def small_budget(monkeypatch):
    monkeypatch.setattr(benchmark, "BUDGET_S", 0.05)
    monkeypatch.setattr(benchmark, "MIN_SAMPLES", 5)


def test_t_is_chosen_on_validation_and_reported_on_test(samples):
    net = initialised_net()
    results = analyse(net, samples, GRID)
    validation = [p for p in results["points"] if p["split"] == "validation"]
    assert len(validation) == len(results["points"]) - len(validation) == len(GRID) ** 2
    chosen = results["points"][results["knee"]]
    assert chosen["split"] == "validation"
    times_ms, accuracies = zip(*[(p["end_to_end_ms"], p["accuracy_pct"] / 100) for p in validation])
    assert results["knee"] == knee(times_ms, accuracies, 60)
    assert results["choice"]["rule"] == KNEE_RULE
    measured, choice = results["measured"], results["choice"]
    assert measured["thresholds"] == choice["thresholds"] == chosen["thresholds"]
    on_test = evaluate(record_exits(net, samples.test_x, samples.test_labels), chosen["thresholds"])
    assert measured["split"] == "test"
    assert measured["accuracy_pct"] == 100 * on_test.accuracy
    assert measured["exit_pct"] == [100 * share for share in on_test.exit_shares]


def test_times_of_the_sweep_follow_from_the_measured_cost_of_each_path(samples):
    results = analyse(initialised_net(), samples, GRID)
    costs_ms = [entry["latency_ms"]["mean"] for entry in results["exits"]]
    for point in results["points"]:
        expected_ms = sum(share / 100 * cost_ms for share, cost_ms in zip(point["exit_pct"], costs_ms))
        assert point["end_to_end_ms"] == pytest.approx(expected_ms)
        assert point["end_to_end_gain"] == pytest.approx(results["baseline_ms"]["mean"] / expected_ms)


def test_the_front_is_marked_on_each_split(samples):
    results = analyse(initialised_net(), samples, GRID)
    for split in ("validation", "test"):
        points = [p for p in results["points"] if p["split"] == split]
        marked = [p for p in points if p["on_front"]]
        assert marked
        for point in marked:
            assert not any(
                p["end_to_end_ms"] <= point["end_to_end_ms"] and p["accuracy_pct"] > point["accuracy_pct"]
                for p in points
            )


def test_thresholds_given_by_the_user_are_used_as_they_are(samples):
    results = analyse(initialised_net(), samples, GRID, fixed_thresholds=[0.95, 1.01])
    assert results["choice"]["thresholds"] == [0.95, 1.01]
    assert results["choice"]["rule"] == "given by the user" and results["choice"]["goal"] is None
    assert results["points"][results["knee"]]["thresholds"] == [0.95, 1.01]


@pytest.mark.parametrize("goal", ["knee", "exits=50,50", "accuracy>=last-5%", "multiply-adds<=2000"])
def test_a_goal_finds_thresholds_of_any_value(samples, goal):
    results = analyse(initialised_net(), samples, GRID, goal=goal)
    points, choice = results["points"], results["choice"]
    chosen = points[results["knee"]]
    assert choice["goal"] == goal and choice["rule"] and choice["split"] == chosen["split"] == "validation"
    assert choice["thresholds"] == chosen["thresholds"] == results["measured"]["thresholds"]
    assert not set(choice["thresholds"]) <= set(GRID)
    assert len(points) == 2 * (len(GRID) ** 2 + 1), "the grid is in the record as ever"
    assert points[-1]["split"] == "test" and points[-1]["thresholds"] == choice["thresholds"]
    cost, unit = choice["details"]["expected_cost"], choice["details"]["unit"]
    if goal.startswith("multiply-adds"):
        assert unit == "multiply-adds" and cost <= 2000
    else:
        assert unit == "ms" and cost == pytest.approx(chosen["end_to_end_ms"])
    if goal == "exits=50,50":
        np.testing.assert_allclose(chosen["exit_pct"], [50, 25, 25])


def test_without_a_goal_the_knee_of_the_grid_is_chosen(samples):
    choice = analyse(initialised_net(), samples, GRID)["choice"]
    assert choice["goal"] == "knee" and set(choice["thresholds"]) <= set(GRID)


def test_a_goal_that_cannot_be_had_is_told(samples):
    with pytest.raises(ThresholdError, match="latency<=0.000001ms: the cheapest setting takes .* ms"):
        analyse(initialised_net(), samples, GRID, goal="latency<=0.000001ms")


def test_accuracies_of_the_exits_are_those_of_all_samples_leaving_there(samples):
    results = analyse(initialised_net(), samples, GRID)
    records = record_exits(initialised_net(), samples.test_x, samples.test_labels)
    expected = 100 * records.exit_accuracies()
    np.testing.assert_allclose([entry["accuracy_pct"]["test"] for entry in results["exits"]], expected)

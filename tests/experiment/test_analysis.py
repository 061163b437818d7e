"""From a trained net to the figures of its record."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import as_float, tiny_net, tiny_splits

from branchynet.errors import ThresholdError
from branchynet.experiment.analysis import analyse, uncertainty_of_choice
from branchynet.inference import record_exits
from branchynet.thresholds import KNEE_RULE, ExitCosts, choose_thresholds, knee

GRID = (0.5, 0.9, 1.0, 1.05, 1.2)
COSTS = ExitCosts(np.array([1.0, 2.0, 3.0]), "ms")


@pytest.fixture(scope="module")
def splits():
    return tiny_splits(n=1, n_validation=60, n_test=40)


def analysed(splits, **asked):
    """What `analyse` gives, quickly."""
    usual = {"thresholds": None, "goal": None, "engine": "auto", "seed": 0, "budget_s": 0.05, "n_processes_timed": 1}
    request = SimpleNamespace(network=SimpleNamespace(threshold_grid=GRID), **{**usual, **asked})
    return analyse(tiny_net(), tiny_net(), splits, as_float, request)


def analyse_tiny(splits, **asked):
    """The results."""
    return analysed(splits, **asked)[0]


@pytest.fixture(scope="module")
def results(splits):
    """Those of T chosen as it is by default."""
    return analyse_tiny(splits)


def records_of(samples):
    return record_exits(tiny_net(), as_float(samples.images), samples.labels)


@pytest.fixture(scope="module")
def recorded(splits):
    """Exit records of validation and test samples."""
    return records_of(splits.validation), records_of(splits.test)


def test_t_is_chosen_on_validation_and_reported_on_test(recorded, results):
    validation = [p for p in results["points"] if p["split"] == "validation"]
    assert len(validation) == len(results["points"]) - len(validation) == len(GRID) ** 2
    chosen = results["points"][results["chosen"]]
    assert chosen["split"] == "validation"
    times_ms, accuracies = zip(*[(p["end_to_end_ms"], p["accuracy_pct"] / 100) for p in validation])
    assert results["chosen"] == knee(times_ms, accuracies, 60)
    assert results["choice"]["rule"] == KNEE_RULE
    of_validation, on_test = (records.evaluate([chosen["thresholds"]]) for records in recorded)
    assert chosen["accuracy_pct"] == 100 * of_validation.accuracies[0]
    measured, choice = results["measured"], results["choice"]
    assert measured["thresholds"] == choice["thresholds"] == chosen["thresholds"]
    assert measured["split"] == "test"
    assert measured["accuracy_pct"] == 100 * on_test.accuracies[0]
    assert measured["exit_pct"] == (100 * on_test.exit_shares[0]).tolist()


@pytest.mark.parametrize(
    ("of_exit", "of_point", "gain", "baseline"),
    [
        ("latency_ms", "end_to_end_ms", "end_to_end_gain", "plain_ms"),
        ("paper_clock_ms", "paper_clock_ms", "paper_clock_gain", "plain_chainer_ms"),
    ],
)
def test_times_of_the_sweep_follow_from_the_measured_cost_of_each_path(results, of_exit, of_point, gain, baseline):
    costs_ms = [entry[of_exit]["mean"] for entry in results["exits"]]
    for point in results["points"]:
        expected_ms = sum(share / 100 * cost_ms for share, cost_ms in zip(point["exit_pct"], costs_ms))
        assert point[of_point] == pytest.approx(expected_ms)
        assert point[gain] == pytest.approx(results[baseline]["mean"] / expected_ms)
        assert sum(point["exit_pct"]) == pytest.approx(100)


def test_the_front_is_marked_on_each_split(results):
    for split in ("validation", "test"):
        points = [p for p in results["points"] if p["split"] == split]
        marked = [p for p in points if p["on_front"]]
        assert marked
        for point in marked:
            assert not any(
                p["end_to_end_ms"] <= point["end_to_end_ms"] and p["accuracy_pct"] > point["accuracy_pct"]
                for p in points
            )


def test_thresholds_given_by_the_user_are_used_as_they_are(splits):
    results = analyse_tiny(splits, thresholds=[0.95, 1.01])
    assert results["choice"]["thresholds"] == [0.95, 1.01]
    assert results["choice"]["rule"] == "given by the user" and results["choice"]["goal"] is None
    assert results["points"][results["chosen"]]["thresholds"] == [0.95, 1.01]


@pytest.mark.parametrize(
    ("goal", "unit"),
    [("knee", "ms"), ("exits=50,50", "ms"), ("accuracy>=last-5%", "ms"), ("multiply-adds<=2000", "multiply-adds")],
)
def test_a_goal_finds_thresholds_of_any_value(splits, goal, unit):
    results = analyse_tiny(splits, goal=goal)
    points, choice = results["points"], results["choice"]
    chosen = points[results["chosen"]]
    assert choice["goal"] == goal and choice["rule"] and choice["split"] == chosen["split"] == "validation"
    assert choice["thresholds"] == chosen["thresholds"] == results["measured"]["thresholds"]
    assert not set(choice["thresholds"]) <= set(GRID)
    assert len(points) == 2 * (len(GRID) ** 2 + 1), "the grid is in the record as ever"
    assert points[-1]["split"] == "test" and points[-1]["thresholds"] == choice["thresholds"]
    assert choice["details"]["unit"] == unit


def test_the_cost_that_a_goal_expects_is_that_of_its_unit(splits):
    results = analyse_tiny(splits, goal="exits=50,50")
    chosen = results["points"][results["chosen"]]
    np.testing.assert_allclose(chosen["exit_pct"], [50, 25, 25])
    assert results["choice"]["details"]["expected_cost"] == pytest.approx(chosen["end_to_end_ms"])
    assert analyse_tiny(splits, goal="multiply-adds<=2000")["choice"]["details"]["expected_cost"] <= 2000


@pytest.mark.parametrize("n_resamples", [1, 30])
def test_the_uncertainty_of_t_is_that_of_choosing_anew_on_resamples(recorded, n_resamples):
    (validation, test), goal = recorded, "exits=50,50"
    chosen = choose_thresholds(validation, COSTS, goal).thresholds
    found = uncertainty_of_choice(validation, test, COSTS, goal, None, chosen, n_resamples, seed=7)
    rng, others, accuracies, cost = np.random.default_rng(7), 0, [], []
    for _ in range(n_resamples):
        resample = validation.take(rng.integers(60, size=60))
        again = choose_thresholds(resample, COSTS, goal).thresholds
        others += tuple(again) != tuple(chosen)
        accuracies.append(100 * test.right_at(again).mean())
        cost.append(1 + test.exits_at(again).mean())
    assert others > 0 and found["another_T_pct"] == 100 * others / n_resamples and found["none_pct"] == 0
    relative = np.array(cost) / (1 + test.exits_at(chosen).mean())
    for key, values in (("accuracy_pct", accuracies), ("relative_cost", relative)):
        np.testing.assert_allclose([found[key]["low"], found[key]["high"]], np.percentile(values, (2.5, 97.5)))
    seeded = [uncertainty_of_choice(validation, test, COSTS, goal, None, chosen, 5, *seed) for seed in ([], [0])]
    assert seeded[0] == seeded[1]


def test_the_uncertainty_of_t_on_a_grid_is_that_of_the_settings_of_the_grid(recorded):
    found = uncertainty_of_choice(*recorded, COSTS, "knee", np.array([(0.0, 0.0)]), (0.0, 0.0), n_resamples=5)
    assert found["another_T_pct"] == 0 and found["relative_cost"] == {"low": 1, "high": 1}


def test_where_all_validation_samples_are_one_t_is_certain(recorded):
    (validation, test), goal = recorded, "exits=100,100"
    same = validation.take(np.zeros(30, int))
    chosen = choose_thresholds(same, COSTS, goal).thresholds
    found = uncertainty_of_choice(same, test, COSTS, goal, None, chosen, n_resamples=5)
    assert found["another_T_pct"] == 0 and found["relative_cost"] == {"low": 1, "high": 1}


def test_a_goal_that_no_resample_can_serve_leaves_no_interval(recorded):
    found = uncertainty_of_choice(*recorded, COSTS, "latency<=0.5ms", None, (0.0, 0.0), n_resamples=5)
    assert (found["none_pct"], found["accuracy_pct"]) == (100, None)


def test_without_a_goal_the_knee_of_the_grid_is_chosen(results):
    choice = results["choice"]
    assert choice["goal"] == "knee" and set(choice["thresholds"]) <= set(GRID)


def test_a_goal_that_cannot_be_had_is_told(splits):
    with pytest.raises(ThresholdError, match="latency<=0.000001ms: the cheapest setting takes .* ms"):
        analyse_tiny(splits, goal="latency<=0.000001ms")


def test_accuracies_of_the_exits_are_those_of_all_samples_leaving_there(recorded, results):
    for split, records in zip(("validation", "test"), recorded):
        expected = 100 * records.exit_accuracies()
        np.testing.assert_allclose([entry["accuracy_pct"][split] for entry in results["exits"]], expected)
    assert [entry["exit"] for entry in results["exits"]] == [1, 2, 3]


def test_the_accuracy_of_the_plain_network_is_that_of_its_last_exit(results):
    assert results["plain_accuracy_pct"] == results["exits"][-1]["accuracy_pct"]["test"]
    assert len({entry["accuracy_pct"]["test"] for entry in results["exits"]}) == 3


def test_the_test_records_are_given_on(splits, recorded):
    results, by_measure, kept = analysed(splits)
    assert kept["images"].tolist() == np.random.default_rng(0).permutation(40).tolist()
    test = by_measure["entropy"]
    np.testing.assert_array_equal(test.scores, recorded[1].scores)
    shares = np.bincount(test.exits_at(results["choice"]["thresholds"]), minlength=3) / len(splits.test)
    assert results["measured"]["exit_pct"] == (100 * shares).tolist()

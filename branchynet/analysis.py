"""From a trained net to the figures of its record: what each exit gives and costs, the sweep, the choice of T."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from branchynet import benchmark
from branchynet.choosers import ExitCosts, choose_thresholds, parse_goal
from branchynet.inference import record_exits
from branchynet.thresholds import as_exit_rule, evaluate, front, knee, sweep
from branchynet.timing import latency_summary


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Samples as the network takes them.

    Attributes:
        validation_x, test_x: (N, C, H, W) float32, on the host.
        validation_labels, test_labels: (N,) int32.
    """

    validation_x: np.ndarray
    validation_labels: np.ndarray
    test_x: np.ndarray
    test_labels: np.ndarray


def analyse(net, samples: Prepared, grid, fixed_thresholds=None, engine="auto", goal=None) -> dict:
    """Evaluates, times and chooses.

    T is chosen on the validation samples and reported on the test samples; the paper's way, sweeping on the test
    samples themselves, is given beside it and called so.

    Args:
        net: a trained `BranchyNet`.
        samples: `Prepared`.
        grid: thresholds in nats, tried at every early exit.
        fixed_thresholds: use these instead of choosing.
        engine: of `branchynet.inference.compile`.
        goal: choose thresholds of any value that serve this goal, as of `branchynet.choosers.parse_goal`, by the
            measured end-to-end time of each exit, or by multiply-adds if the goal is in them; by default the knee of
            the settings of the grid.

    Raises:
        ThresholdError: nothing serves the goal.

    Returns:
        "chainer_ms" and "baseline_ms", latency summaries of the two baselines, and the keys "engine", "exits",
        "points", "knee", "choice" and "measured" of `branchynet.records`.
    """
    validation = record_exits(net, samples.validation_x, samples.validation_labels)
    test = record_exits(net, samples.test_x, samples.test_labels)
    contenders = benchmark.Contenders.of(net, engine)
    costs = benchmark.path_costs(contenders, samples.test_x)

    choice = _choose(validation, grid, fixed_thresholds, goal, costs, contenders.compiled.plan)
    on_grid = fixed_thresholds is None and goal is None
    further = None if on_grid else choice["thresholds"]
    points = _points(validation, "validation", grid, further, costs)
    n_validation = len(points)
    points += _points(test, "test", grid, further, costs)
    thresholds = choice["thresholds"]
    at_choice = (n for n in range(n_validation) if points[n]["thresholds"] == thresholds)
    chosen = next(at_choice) if on_grid else n_validation - 1
    paper_way = points[n_validation + _knee(points[n_validation:], test)]

    evaluation = evaluate(test, thresholds)
    measurement = benchmark.measure(contenders, samples.test_x, thresholds)
    return {
        "engine": contenders.compiled.engine,
        "chainer_ms": latency_summary(costs.chainer_ms),
        "baseline_ms": latency_summary(costs.baseline_ms),
        "exits": _exits(validation, test, costs),
        "points": points,
        "knee": chosen,
        "choice": {
            "split": "validation",
            **choice,
            "paper_way": {key: paper_way[key] for key in ("thresholds", "accuracy_pct", "exit_pct")},
        },
        "measured": {
            "thresholds": thresholds,
            "split": "test",
            "accuracy_pct": 100 * evaluation.accuracy,
            "exit_pct": [100 * share for share in evaluation.exit_shares],
            **measurement.summary(),
        },
    }


def _choose(validation, grid, fixed_thresholds, goal, costs, plan):
    """The keys of "choice" that say which T was chosen, and how."""
    if fixed_thresholds is not None:
        thresholds = list(as_exit_rule(fixed_thresholds, validation.n_exits).values)
        return {"goal": None, "rule": "given by the user", "thresholds": thresholds, "details": {}}
    settings = list(itertools.product(grid, repeat=validation.n_exits - 1)) if goal is None else None
    goal = parse_goal("knee" if goal is None else goal)
    if goal.unit == "multiply-adds":
        exit_costs = ExitCosts(np.array(plan.path_multiply_adds()), goal.unit)
    else:
        exit_costs = ExitCosts(costs.end_to_end_ms.mean(axis=1), "ms")
    choice = choose_thresholds(validation, exit_costs, goal, grid=settings)
    details = {**choice.details, "expected_cost": choice.expected_cost, "unit": choice.unit}
    return {"goal": choice.goal, "rule": choice.rule, "thresholds": list(choice.thresholds), "details": details}


def _points(exit_records, split, grid, further, costs):
    """The sweep on one split: accuracy and exits as recorded, times from the measured cost of each path.

    Where `further` thresholds are given, they are the last point.
    """
    evaluations = sweep(exit_records, grid)
    if further is not None:
        evaluations.append(evaluate(exit_records, further))
    chainer_ms, baseline_ms = costs.chainer_ms.mean(), costs.baseline_ms.mean()
    end_to_end_ms = costs.end_to_end_ms.mean(axis=1)
    paper_clock_ms = costs.paper_clock_ms.mean(axis=1)
    points = []
    for evaluation in evaluations:
        shares = np.array(evaluation.exit_shares)
        points.append(
            {
                "thresholds": list(evaluation.thresholds),
                "split": split,
                "accuracy_pct": 100 * evaluation.accuracy,
                "exit_pct": (100 * shares).tolist(),
                "end_to_end_ms": float(shares @ end_to_end_ms),
                "paper_clock_ms": float(shares @ paper_clock_ms),
                "end_to_end_gain": float(baseline_ms / (shares @ end_to_end_ms)),
                "paper_clock_gain": float(chainer_ms / (shares @ paper_clock_ms)),
                "on_front": False,
            }
        )
    for index in front(*_times_and_accuracies(points)):
        points[index]["on_front"] = True
    return points


def _times_and_accuracies(points):
    return [point["end_to_end_ms"] for point in points], [point["accuracy_pct"] / 100 for point in points]


def _knee(points, exit_records):
    return knee(*_times_and_accuracies(points), len(exit_records.labels))


def _exits(validation, test, costs):
    """One entry an exit: its accuracy if every sample left there, and what leaving there costs."""
    return [
        {
            "exit": number,
            "accuracy_pct": {"validation": 100 * float(validation_accuracy), "test": 100 * float(test_accuracy)},
            "latency_ms": latency_summary(end_to_end_ms),
            "paper_clock_ms": latency_summary(paper_clock_ms),
            "count": len(end_to_end_ms),
        }
        for number, (validation_accuracy, test_accuracy, end_to_end_ms, paper_clock_ms) in enumerate(
            zip(validation.exit_accuracies(), test.exit_accuracies(), costs.end_to_end_ms, costs.paper_clock_ms),
            start=1,
        )
    ]

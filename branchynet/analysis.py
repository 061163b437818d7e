"""From a trained net to the figures of its record: what each exit gives and costs, the sweep, the choice of T."""

from __future__ import annotations

import dataclasses

import numpy as np

from branchynet import benchmark
from branchynet.inference import record_exits
from branchynet.thresholds import KNEE_RULE, evaluate, front, knee, sweep
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


def analyse(net, samples: Prepared, grid, fixed_thresholds=None, engine="auto") -> dict:
    """Evaluates, times and chooses.

    T is chosen on the validation samples and reported on the test samples; the paper's way, sweeping on the test
    samples themselves, is given beside it and called so.

    Args:
        net: a trained `BranchyNet`.
        samples: `Prepared`.
        grid: thresholds in nats, tried at every early exit.
        fixed_thresholds: use these instead of choosing.
        engine: of `branchynet.inference.compile`.

    Returns:
        "chainer_ms" and "baseline_ms", latency summaries of the two baselines, and the keys "engine", "exits",
        "points", "knee", "choice" and "measured" of `branchynet.records`.
    """
    validation = record_exits(net, samples.validation_x, samples.validation_labels)
    test = record_exits(net, samples.test_x, samples.test_labels)
    contenders = benchmark.Contenders.of(net, engine)
    costs = benchmark.path_costs(contenders, samples.test_x)

    points = _points(validation, "validation", grid, fixed_thresholds, costs)
    n_validation = len(points)
    points += _points(test, "test", grid, fixed_thresholds, costs)
    chosen = n_validation - 1 if fixed_thresholds is not None else _knee(points[:n_validation], validation)
    thresholds = points[chosen]["thresholds"]
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
            "rule": KNEE_RULE if fixed_thresholds is None else "given by the user",
            "thresholds": thresholds,
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


def _points(exit_records, split, grid, fixed_thresholds, costs):
    """The sweep on one split: accuracy and exits as recorded, times from the measured cost of each path."""
    evaluations = sweep(exit_records, grid)
    if fixed_thresholds is not None:
        evaluations.append(evaluate(exit_records, fixed_thresholds))
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

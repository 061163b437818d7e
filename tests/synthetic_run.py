"""A released record with round numbers in place of its own, for the tests of what is made from one."""

import itertools
import json
import pathlib

from branchynet import records

EXPERIMENTS = pathlib.Path(__file__).resolve().parents[1] / "experiments"
REFERENCE = EXPERIMENTS / "reference"
PUBLISHED = records.load_published(REFERENCE)
_TEXTS = {
    n_early: (EXPERIMENTS / "results" / "released" / name / "run.json").read_text(encoding="utf-8")
    for n_early, name in ((1, "lenet"), (2, "alexnet-paper"))
}


def latency(mean):
    """A latency summary around a mean, in ms."""
    return {"mean": mean, "p50": 0.9 * mean, "p90": 1.5 * mean, "p99": 2.0 * mean}


def make_run(n_early=1, grid=(0.01, 0.25, 1.0), **changes):
    """A run's record: B-LeNet on MNIST with one early exit, B-AlexNet on CIFAR-10 with two.

    The plain network takes 2 ms and has 98 %; exit n takes n ms end to end and n / 2 ms by the paper's clock. The k-th
    threshold of the grid lets 100 (k + 1) / len(grid) % of the samples that reach an exit leave there. `changes` take
    the place of whole entries. No two places of the record share a list.
    """
    run = json.loads(_TEXTS[n_early])
    ranks = list(itertools.product(range(len(grid)), repeat=n_early))
    points = [make_point(of_exits, grid, split) for split in ("validation", "test") for of_exits in ranks]
    outcome = {key: points[0][key] for key in ("thresholds", "accuracy_pct", "exit_pct")}
    run.pop("operating_points")
    for baseline, accuracy_pct, ms in zip(run["baselines"], (98.0, 98.0, 97.0, 98.5), (2.0, 8.0, 2.0, 2.0)):
        baseline.update(accuracy_pct=accuracy_pct, latency_ms=latency(ms))
    for number, entry in enumerate(run["exits"], start=1):
        entry.update(accuracy_pct={"validation": 96.0 + number, "test": 95.0 + number})
        entry.update(latency_ms=latency(number), paper_clock_ms=latency(number / 2))
    run["choice"].update(thresholds=outcome["thresholds"], chosen_on_test=outcome)
    run["measured"].update(
        **outcome,
        **{"end_to_end_ms": latency(1.234), "paper_clock_ms": latency(0.5)},
        **{"plain_ms": latency(2.0), "plain_chainer_ms": latency(8.0)},
        gain_over_chainer={"value": 6.48, "low": 6.0, "high": 7.0},
        end_to_end_gain={"value": 1.62, "low": 1.5, "high": 1.75},
        paper_clock_gain={"value": 4.0, "low": 3.5, "high": 4.5},
    )
    return json.loads(json.dumps({**run, "variant": None, "points": points, "chosen": 0, **changes}))


def make_point(ranks, grid, split):
    """One setting of T: its `ranks` are indices into the grid, one for each early exit."""
    shares, remaining = [], 1.0
    for rank in ranks:
        shares.append(remaining * (rank + 1) / len(grid))
        remaining -= shares[-1]
    shares.append(remaining)
    ms = sum(share * number for number, share in enumerate(shares, start=1))
    times = {"end_to_end_ms": ms, "paper_clock_ms": ms / 2, "end_to_end_gain": 2.0 / ms, "paper_clock_gain": 4.0 / ms}
    setting = {"thresholds": [grid[rank] for rank in ranks], "split": split, "exit_pct": [100 * s for s in shares]}
    return {**setting, "accuracy_pct": 99.0 - sum(ranks) / 4, **times, "on_front": True}


def change(run, place, value):
    """Sets a value of a record, or deletes it (None), at a place such as "points.0.split"."""
    *path, key = [int(step) if step.isdigit() else step for step in place.split(".")]
    for step in path:
        run = run[step]
    if value is None:
        del run[key]
    else:
        run[key] = value

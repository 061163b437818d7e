"""A run's record with round numbers, for the tests of what is made from it."""

from __future__ import annotations

import itertools


def latency(mean):
    """A latency summary around a mean, in ms."""
    return {"mean": mean, "p50": 0.9 * mean, "p90": 1.5 * mean, "p99": 2.0 * mean}


def make_run(n_early=1, grid=(0.01, 0.25, 1.0)):
    """A record as `branchynet.records` describes it: B-LeNet on MNIST with one early exit, else B-AlexNet on CIFAR-10.

    The baseline takes 2 ms and has 98 %; exit n takes n ms end to end and n / 2 ms by the paper's clock. The k-th
    threshold of the grid lets 100 (k + 1) / len(grid) % of the samples that reach an exit leave there.
    """
    network, dataset = ("LeNet", "mnist") if n_early == 1 else ("AlexNet", "cifar10")
    points = [
        make_point(ranks, grid, split)
        for split in ("validation", "test")
        for ranks in itertools.product(range(len(grid)), repeat=n_early)
    ]
    chosen = {key: points[0][key] for key in ("thresholds", "accuracy_pct", "exit_pct")}
    return {
        "schema": 1,
        "network": network,
        "branchy_network": f"B-{network}",
        "dataset": dataset,
        "device": "cpu",
        "engine": "chainer",
        "preset": "standard",
        "seed": 0,
        "command": "experiments/example.py --preset standard",
        "arguments": {"preset": "standard", "seed": 0},
        "environment": {
            "device": "Model X processor",
            "cpu": "Model X processor",
            "n_cores": 2,
            "threads": 1,
            "python": "3.11.0",
            "versions": {"numpy": "2.0.0", "chainer": "7.8.1"},
            "commit": "0123456789abcdef",
            "dirty": False,
            "utc": "2020-01-01T00:00:00+00:00",
        },
        "baselines": [
            {"name": network, "training": "main network alone", "accuracy_pct": 98.0, "latency_ms": latency(2.0)},
            {
                "name": f"{network} (joint, last exit only)",
                "training": "joint, branches removed",
                "accuracy_pct": 98.5,
                "latency_ms": latency(2.0),
            },
        ],
        "exits": [
            {
                "exit": number,
                "accuracy_pct": {"validation": 96.0 + number, "test": 95.0 + number},
                "latency_ms": latency(1.0 * number),
                "paper_clock_ms": latency(0.5 * number),
                "count": 100,
            }
            for number in range(1, n_early + 2)
        ],
        "points": points,
        "knee": 0,
        "choice": {"split": "validation", "rule": "the rule", "thresholds": chosen["thresholds"], "paper_way": chosen},
        "measured": {
            **chosen,
            "split": "test",
            "n_samples_timed": 100,
            "end_to_end_ms": latency(1.234),
            "paper_clock_ms": latency(0.5),
            "baseline_ms": latency(2.0),
            "chainer_ms": latency(8.0),
            "gain_over_chainer": {"value": 6.48, "low": 6.0, "high": 7.0},
            "end_to_end_gain": {"value": 1.62, "low": 1.5, "high": 1.75},
            "paper_clock_gain": {"value": 4.0, "low": 3.5, "high": 4.5},
        },
        "history": [make_epoch("main", 1, [n_early + 1])]
        + [make_epoch("joint", epoch, range(1, n_early + 2)) for epoch in (1, 2)],
    }


def make_point(ranks, grid, split):
    """One setting of T: its `ranks` are indices into the grid, one for each early exit."""
    shares, remaining = [], 1.0
    for rank in ranks:
        shares.append(remaining * (rank + 1) / len(grid))
        remaining -= shares[-1]
    shares.append(remaining)
    end_to_end_ms = sum(share * number for number, share in enumerate(shares, start=1))
    return {
        "thresholds": [grid[rank] for rank in ranks],
        "split": split,
        "accuracy_pct": 99.0 - sum(ranks) / 4,
        "exit_pct": [100 * share for share in shares],
        "end_to_end_ms": end_to_end_ms,
        "paper_clock_ms": end_to_end_ms / 2,
        "end_to_end_gain": 2.0 / end_to_end_ms,
        "paper_clock_gain": 4.0 / end_to_end_ms,
        "on_front": True,
    }


def make_epoch(phase, epoch, exits):
    """One entry of the history."""
    return {
        "phase": phase,
        "epoch": epoch,
        "iteration": 10 * epoch,
        "elapsed_s": 1.0 * epoch,
        "exits": [
            {
                "exit": number,
                "loss": 0.5 / epoch,
                "accuracy": 0.9,
                "validation_loss": 0.4 / epoch,
                "validation_accuracy": 0.95,
            }
            for number in exits
        ],
    }

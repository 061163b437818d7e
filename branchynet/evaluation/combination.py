"""The best of all measures and goals, chosen on validation samples, against the paper's way, timed for real."""

from __future__ import annotations

import numpy as np

from branchynet import benchmark
from branchynet.agreement import check_answers
from branchynet.choosers import choose_thresholds, parse_goal
from branchynet.errors import ThresholdError
from branchynet.evaluation.goals import costs_for
from branchynet.evaluation.recorded import difference, right_at
from branchynet.evaluation.study import PAPERS_MEASURE, outcome
from branchynet.timing import gain, latency_summary


def best_combination(study, goals, multiply_adds, reference) -> dict:
    """The fastest measure and goal whose validation accuracy is no less than that of the paper's way.

    Args:
        study: `Study`.
        goals: texts as of `branchynet.choosers.parse_goal`, tried with every measure.
        multiply_adds: of the path to each exit, for goals in that unit.
        reference: the `Choice` of `Study.papers_choice`.

    Returns:
        {n_tried, best: {measure, goal, thresholds, validation: `outcome`}}; best is None where none is faster on the
        validation samples.
    """
    tried = []
    for name, records in study.validation_records.items():
        for goal in map(parse_goal, goals):
            goal_costs = costs_for(goal, study.costs[name], multiply_adds)
            try:
                thresholds = list(choose_thresholds(records, goal_costs, goal).thresholds)
            except ThresholdError:
                continue
            given = outcome(records, study.costs[name], thresholds)
            tried.append({"measure": name, "goal": goal.text, "thresholds": thresholds, "validation": given})
    lowest_pct, cost = 100 * reference.accuracy - 1e-9, reference.expected_cost
    faster = [
        entry
        for entry in tried
        if entry["validation"]["accuracy_pct"] >= lowest_pct and entry["validation"]["cost"] < cost
    ]
    # Of equally fast ones the most accurate.
    key = lambda entry: (entry["validation"]["cost"], -entry["validation"]["accuracy_pct"])  # noqa: E731
    return {"n_tried": len(tried), "best": min(faster, key=key, default=None)}


def time_against_papers_way(study, net, samples, best, reference, budget_s=None) -> dict:
    """Times a setting of another measure against the paper's way on test samples, taking turns.

    Args:
        study: `Study`.
        net: the network, which the timed answers are held against.
        samples: (n, C, H, W) float32 test samples on the host.
        best: the entry of `best_combination`.
        reference: the `Choice` of `Study.papers_choice`.
        budget_s: seconds.

    Returns:
        JSON-able {n_samples_timed, reference, best: {latency_ms: summary, and the entries of `outcome` on all test
        samples}, gain: how many times faster `best` is, with its interval, saved_ms, difference: test accuracy of
        `best` less that of the reference, with its standard error}.

    Raises:
        RuntimeError: a timed run answered otherwise than the reference path.
    """
    settings = {
        "reference": (PAPERS_MEASURE, tuple(reference.thresholds)),
        "best": (best["measure"], tuple(best["thresholds"])),
    }
    paths = {key: benchmark.compiled_path(study.compiled[name], T) for key, (name, T) in settings.items()}
    timed = benchmark.time_paths(paths, samples, net.device, budget_s)
    results, right = {}, {}
    for key, (name, thresholds) in settings.items():
        latency_ms, answers = timed[key]
        labels, exits = np.array(answers).T
        check_answers(net, samples[: len(labels)], thresholds, labels, exits, study.measures[name])
        given = outcome(study.test_records[name], study.costs[name], thresholds)
        results[key] = {"latency_ms": latency_summary(latency_ms), **given}
        right[key] = right_at(study.test_records[name], thresholds)
    reference_ms, best_ms = timed["reference"][0], timed["best"][0]
    return {
        "n_samples_timed": len(best_ms),
        **results,
        "gain": gain(reference_ms, best_ms),
        "saved_ms": float(reference_ms.mean() - best_ms.mean()),
        "difference": difference(right["best"], right["reference"]),
    }

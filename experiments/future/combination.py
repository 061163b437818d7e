"""The best of all measures and goals, chosen on validation samples, against the reference setting, timed for real."""

import numpy as np

from branchynet.bench import paths
from branchynet.bench.agreement import check_answers
from branchynet.bench.timing import gain, latency_summary
from branchynet.errors import ThresholdError
from branchynet.machine import terminal
from branchynet.thresholds import parse_goal
from future.recorded import difference
from future.study import REFERENCE_MEASURE


def best_combination(study, goals) -> dict:
    """The fastest measure and goal whose validation accuracy is no less than that of the reference setting.

    Args:
        study: `Study`.
        goals: texts as of `branchynet.thresholds.parse_goal`, tried with every measure.

    Returns:
        {n_tried, best: {measure, goal, thresholds, validation: outcome in ms}}; best is None where none is faster on
        the validation samples.
    """
    tried = []
    for name in terminal.counted("choosing T", list(study.measures), "measure"):
        for goal in map(parse_goal, goals):
            try:
                thresholds = list(study.choose(name, goal).thresholds)
            except ThresholdError:
                continue
            given = study.on_validation(name, thresholds)
            tried.append({"measure": name, "goal": goal.text, "thresholds": thresholds, "validation": given})
    lowest_pct, cost = 100 * study.reference.accuracy - 1e-9, study.reference.expected_cost
    faster = [
        entry
        for entry in tried
        if entry["validation"]["accuracy_pct"] >= lowest_pct and entry["validation"]["cost"] < cost
    ]
    # Of equally fast ones the most accurate.
    best = min(faster, key=lambda of: (of["validation"]["cost"], -of["validation"]["accuracy_pct"]), default=None)
    return {"n_tried": len(tried), "best": best}


def time_against_reference(study, best, budget_s=paths.BUDGET_S) -> dict:
    """Times a setting of a measure against the reference setting on test samples, taking turns.

    Args:
        study: `Study`.
        best: the entry of `best_combination`.
        budget_s: seconds.

    Returns:
        JSON-able {n_samples_timed, reference, best: {latency_ms: summary, and the outcome on all test samples}, gain:
        how many times faster `best` is, with its interval, saved_ms, difference: test accuracy of `best` less that of
        the reference, with its standard error}.

    Raises:
        RuntimeError: a timed run answered otherwise than the reference path.
    """
    settings = {
        "reference": (REFERENCE_MEASURE, tuple(study.reference.thresholds)),
        "best": (best["measure"], tuple(best["thresholds"])),
    }
    contenders = {key: paths.compiled_path(study.compiled[name], T) for key, (name, T) in settings.items()}
    with terminal.elapsing("timing the best combination", budget_s):
        timed = paths.time_paths(contenders, study.samples, study.net.device, budget_s)
    results, right = {}, {}
    for key, (name, thresholds) in settings.items():
        latency_ms, answers = timed[key]
        labels, exits = np.concatenate(answers, axis=1)
        check_answers(study.net, study.samples[: len(labels)], thresholds, labels, exits, study.measures[name])
        results[key] = {"latency_ms": latency_summary(latency_ms), **study.on_test(name, thresholds)}
        right[key] = study.test_records[name].right_at(thresholds)
    reference_ms, best_ms = timed["reference"][0], timed["best"][0]
    return {
        "n_samples_timed": len(best_ms),
        **results,
        "gain": gain(reference_ms, best_ms),
        "saved_ms": float(reference_ms.mean() - best_ms.mean()),
        "difference": difference(right["best"], right["reference"]),
    }

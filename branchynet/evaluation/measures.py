"""Measures of confidence against each other: at equal milliseconds, at equal accuracy, and by how they rank samples."""

from __future__ import annotations

import numpy as np

from branchynet.choosers import Problem, evaluate_settings
from branchynet.confidence import auroc, softmax
from branchynet.evaluation.calibration import expected_calibration_error, reliability_bins
from branchynet.evaluation.curves import mix_at_accuracy, mix_at_cost
from branchynet.evaluation.recorded import difference, right_at
from branchynet.evaluation.study import PAPERS_MEASURE, outcome, outcomes
from branchynet.thresholds import front


def compare_measures(study, reference) -> list:
    """Every measure of a study against the paper's entropy at its chosen T.

    Args:
        study: `Study`.
        reference: the `Choice` of `Study.papers_choice`.

    Returns:
        one JSON-able entry a measure: {name, settings, needs_fitting, exit_ms: [mean of each path], exit_ms_error: [its
        standard error], curve: entries of `curve_on_test`, auroc: [of each exit, None where undefined], at_equal_ms,
        at_equal_accuracy}. The last two are read from the curve where it is as expensive, or as accurate, as the
        reference is on the test samples: {accuracy_pct, cost, early_pct, difference: accuracy less the reference's,
        with its standard error}, or None where the curve does not get there.
    """
    papers = study.test_records[PAPERS_MEASURE], study.costs[PAPERS_MEASURE]
    expected = outcome(*papers, reference.thresholds)
    papers_right = right_at(papers[0], reference.thresholds)
    rows = []
    for name, measure in study.measures.items():
        test, curve = study.test_records[name], curve_on_test(study, name)
        costs, accuracies = ([point[key] for point in curve] for key in ("cost", "accuracy_pct"))
        read = (mix_at_cost(costs, expected["cost"]), mix_at_accuracy(costs, accuracies, expected["accuracy_pct"]))
        at_cost, at_accuracy = (_reading(test, curve, weights, papers_right) for weights in read)
        rows.append(
            {
                "name": name,
                "settings": measure.describe()["settings"],
                "needs_fitting": bool(measure.fitted_names),
                "exit_ms": study.costs[name].values.tolist(),
                "exit_ms_error": study.cost_errors[name].tolist(),
                "curve": curve,
                "auroc": [auroc(*pair) for pair in zip(test.scores, test.predictions == test.labels)],
                "at_equal_ms": at_cost,
                "at_equal_accuracy": at_accuracy,
            }
        )
    return rows


def curve_on_test(study, name) -> list:
    """What the settings on the validation front of cost and accuracy give on the test samples, fastest first.

    Args:
        study: `Study`.
        name: of the measure.

    Returns:
        of each setting {thresholds, validation_accuracy_pct, validation_cost} and the entries of `outcome` on the test
        samples.
    """
    costs = study.costs[name]
    problem = Problem(study.validation_records[name], costs)
    on_front = front(problem.expected_costs.tolist(), problem.settings.accuracies.tolist())
    thresholds = problem.settings.thresholds[on_front]
    on_test = outcomes(evaluate_settings(study.test_records[name], thresholds), costs)
    return [
        {
            "thresholds": thresholds[place].tolist(),
            "validation_accuracy_pct": 100 * float(problem.settings.accuracies[index]),
            "validation_cost": float(problem.expected_costs[index]),
            **on_test[place],
        }
        for place, index in enumerate(on_front)
    ]


def _reading(records, curve, weights, papers_right):
    """A mixture of settings of a curve on the test samples."""
    if weights is None:
        return None
    used = np.flatnonzero(weights)
    right = sum(weights[index] * right_at(records, curve[index]["thresholds"]) for index in used)
    mixed = {key: float(sum(weights[n] * curve[n][key] for n in used)) for key in ("accuracy_pct", "cost", "early_pct")}
    return {**mixed, "difference": difference(right, papers_right)}


def reliability(recorded, temperatures) -> list:
    """How far the largest probability of each exit can be believed, before and after temperature scaling.

    Args:
        recorded: `Recorded`.
        temperatures: (n_exits,) of `branchynet.confidence.CalibratedEntropy`.

    Returns:
        for each exit {"temperature", "before", "after"}, the last two {"bins": `reliability_bins`, "error": the
        expected calibration error, in [0, 1]}.
    """
    rows = []
    for logits, temperature in zip(recorded.logits, np.asarray(temperatures).tolist()):
        right = logits.argmax(axis=1) == recorded.labels
        row = {"temperature": temperature}
        for key, scaled in (("before", logits), ("after", logits / temperature)):
            bins = reliability_bins(softmax(scaled.astype(np.float64)).max(axis=1), right)
            row[key] = {"bins": bins, "error": expected_calibration_error(bins)}
        rows.append(row)
    return rows

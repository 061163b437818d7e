"""Measures of confidence against each other: at equal milliseconds, at equal accuracy, and by how they rank samples."""

import numpy as np

from branchynet.confidence import auroc
from branchynet.machine import terminal
from branchynet.thresholds import Problem, front
from future.curves import mix_at_accuracy, mix_at_cost
from future.recorded import difference
from future.study import REFERENCE_MEASURE


def compare_measures(study) -> list:
    """Every measure of a study against the reference setting.

    Args:
        study: `Study`.

    Returns:
        one JSON-able entry a measure: {name, settings, needs_fitting, exit_ms: [mean of each path], exit_ms_error: [its
        standard error], curve: entries of `curve_on_test`, auroc: [of each exit, None where undefined], at_equal_ms,
        at_equal_accuracy}. The last two are read from the curve where it is as expensive, or as accurate, as the
        reference is on the test samples: {accuracy_pct, cost, early_pct, difference: accuracy less the reference's,
        with its standard error}, or None where the curve does not get there.
    """
    reference = study.on_test(REFERENCE_MEASURE, study.reference.thresholds)
    reference_right = study.test_records[REFERENCE_MEASURE].right_at(study.reference.thresholds)
    rows = []
    for name, measure in terminal.counted("comparing measures", list(study.measures.items()), "measure"):
        test, curve = study.test_records[name], curve_on_test(study, name)
        costs, accuracies = ([point[key] for point in curve] for key in ("cost", "accuracy_pct"))
        at_cost = mix_at_cost(costs, reference["cost"])
        at_accuracy = mix_at_accuracy(costs, accuracies, reference["accuracy_pct"])
        rows.append(
            {
                "name": name,
                "settings": measure.describe()["settings"],
                "needs_fitting": bool(measure.fitted_names),
                "exit_ms": study.costs[name].values.tolist(),
                "exit_ms_error": study.cost_errors[name].tolist(),
                "curve": curve,
                "auroc": [auroc(*pair) for pair in zip(test.scores, test.right)],
                "at_equal_ms": _reading(test, curve, at_cost, reference_right),
                "at_equal_accuracy": _reading(test, curve, at_accuracy, reference_right),
            }
        )
    return rows


def curve_on_test(study, name) -> list:
    """What the settings on the validation front of cost and accuracy give on the test samples, fastest first.

    Args:
        study: `Study`.
        name: of the measure.

    Returns:
        of each setting {thresholds, validation_accuracy_pct, validation_cost} and its outcome on the test samples.
    """
    costs = study.costs[name]
    problem = Problem(study.validation_records[name], costs)
    on_front = front(problem.expected_costs.tolist(), problem.settings.accuracies.tolist())
    thresholds = problem.settings.thresholds[on_front]
    on_test = study.test_records[name].evaluate(thresholds).rows(costs)
    return [
        {
            "thresholds": thresholds[place].tolist(),
            "validation_accuracy_pct": 100 * float(problem.settings.accuracies[index]),
            "validation_cost": float(problem.expected_costs[index]),
            **on_test[place],
        }
        for place, index in enumerate(on_front)
    ]


def _reading(records, curve, weights, reference_right):
    """A mixture of settings of a curve on the test samples."""
    if weights is None:
        return None
    used = np.flatnonzero(weights)
    right = sum(weights[n] * records.right_at(curve[n]["thresholds"]) for n in used)
    mixed = {key: float(sum(weights[n] * curve[n][key] for n in used)) for key in ("accuracy_pct", "cost", "early_pct")}
    return {**mixed, "difference": difference(right, reference_right)}

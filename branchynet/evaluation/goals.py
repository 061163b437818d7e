"""What goals promise, held against the test samples."""

from __future__ import annotations

import math

import numpy as np

from branchynet.choosers import ExitCosts, choose_thresholds, evaluate_settings, parse_goal
from branchynet.errors import ThresholdError
from branchynet.evaluation.study import PAPERS_MEASURE, outcome
from branchynet.thresholds import as_exit_rule, assign_exits


def compare_goals(study, goals, multiply_adds) -> list:
    """Chooses T for each goal, by the paper's entropy on validation samples, and says what the test samples give.

    Args:
        study: `Study`.
        goals: texts as of `branchynet.choosers.parse_goal`.
        multiply_adds: of the path to each exit, for goals in that unit.

    Returns:
        for each goal {goal, thresholds, validation, test: `outcome` in ms, promise: of `promise_on_test`}, or {goal,
        problem: why it cannot be had}.
    """
    validation, test = study.validation_records[PAPERS_MEASURE], study.test_records[PAPERS_MEASURE]
    costs = study.costs[PAPERS_MEASURE]
    rows = []
    for goal in map(parse_goal, goals):
        goal_costs = costs_for(goal, costs, multiply_adds)
        try:
            thresholds = list(choose_thresholds(validation, goal_costs, goal).thresholds)
        except ThresholdError as error:
            rows.append({"goal": goal.text, "problem": str(error)})
            continue
        on_both = (outcome(records, costs, thresholds) for records in (validation, test))
        row = {"goal": goal.text, "thresholds": thresholds, **dict(zip(("validation", "test"), on_both))}
        rows.append({**row, "promise": promise_on_test(goal, test, goal_costs, thresholds, len(validation.labels))})
    return rows


def costs_for(goal, costs, multiply_adds) -> ExitCosts:
    """The costs in the unit that a goal is in: multiply-adds if it says so, else `costs`."""
    return ExitCosts(np.asarray(multiply_adds), goal.unit) if goal.unit == "multiply-adds" else costs


def promise_on_test(goal, test, costs, thresholds, n_validation):
    """The quantity that a goal is about, as the test samples give it.

    Args:
        goal: `branchynet.choosers.Goal`.
        test: `ExitRecords` of the test samples.
        costs: `ExitCosts` in the goal's unit.
        thresholds: that were chosen for it.
        n_validation: how many samples they were chosen on.

    Returns:
        {quantity: in words, relation: "<=", ">=" or "=", limit, value, met}; None for a goal that promises nothing, as
        the knee, or that this function does not know. A share that is to be met exactly counts as met within two
        standard errors of both sets of samples.
    """
    goal_function = goal.function.__name__
    if goal_function not in _PROMISES:
        return None
    return _PROMISES[goal_function](test, costs, thresholds, n_validation, **goal.numbers)


def _promise(quantity, relation, limit, value):
    met = value <= limit + 1e-9 if relation == "<=" else value >= limit - 1e-9
    return {"quantity": quantity, "relation": relation, "limit": limit, "value": value, "met": bool(met)}


def _budget(test, costs, thresholds, n_validation, budget):
    return _promise(f"mean {costs.unit}", "<=", budget, outcome(test, costs, thresholds)["cost"])


def _accuracy(test, costs, thresholds, n_validation, accuracy_pct):
    return _promise("accuracy (%)", ">=", accuracy_pct, outcome(test, costs, thresholds)["accuracy_pct"])


def _accuracy_near_last(test, costs, thresholds, n_validation, points_pct):
    last_pct = 100 * float(test.exit_accuracies()[-1])
    value = outcome(test, costs, thresholds)["accuracy_pct"] - last_pct
    return _promise("accuracy less the last exit's (points)", ">=", -points_pct, value)


def _spoilt(test, costs, thresholds, n_validation, epsilon_pct, confidence_pct=None):
    settings = evaluate_settings(test, [thresholds])
    return _promise("spoilt (%)", "<=", epsilon_pct, 100 * float(settings.n_spoilt[0]) / settings.n_samples)


def _bin_accuracy(test, costs, thresholds, n_validation, accuracy_pct):
    """Of the samples that leave at each early exit the accuracy; the lowest one."""
    exits, right = _exits(test, thresholds), test.predictions == test.labels
    leaving = [right[n][exits == n] for n in range(test.n_exits - 1) if (exits == n).any()]
    if not leaving:
        return None
    lowest = 100 * min(float(is_right.mean()) for is_right in leaving)
    return _promise("accuracy of those leaving early (%)", ">=", accuracy_pct, lowest)


def _quantile(test, costs, thresholds, n_validation, share):
    """Of the samples that reach each early exit the share that leaves there; the one farthest from the goal."""
    exits = _exits(test, thresholds)
    pairs = [((exits == n).sum(), (exits >= n).sum()) for n in range(test.n_exits - 1) if (exits >= n).any()]
    if not pairs:
        return None
    n_leaving, n_reaching = max(pairs, key=lambda pair: abs(pair[0] / pair[1] - share))
    value, n_reaching_before = n_leaving / n_reaching, n_reaching / len(exits) * n_validation
    error = math.sqrt(share * (1 - share) * (1 / n_reaching + 1 / n_reaching_before))
    promise = _promise("leaving, of those who reach the exit (%)", "<=", 100 * share, 100 * float(value))
    return {**promise, "relation": "=", "met": bool(abs(value - share) <= 2 * error)}


def _exits(records, thresholds):
    return assign_exits(records.scores, as_exit_rule(thresholds, records.n_exits, records.lowest))


# By the name of a goal's function in `branchynet.choosers`.
_PROMISES = {
    "latency": _budget,
    "multiply_adds": _budget,
    "budget_ms": _budget,
    "budget_multiply_adds": _budget,
    "accuracy": _accuracy,
    "accuracy_near_last": _accuracy_near_last,
    "risk": _spoilt,
    "expected_risk": _spoilt,
    "bin_accuracy": _bin_accuracy,
    "quantile": _quantile,
}

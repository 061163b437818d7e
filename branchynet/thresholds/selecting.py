"""Goals that pick one of the candidates: the knee, a budget, an accuracy."""

import numpy as np

from branchynet.errors import ThresholdError
from branchynet.thresholds.front import KNEE_RULE, knee
from branchynet.thresholds.goals import ROUNDING, Found, keeps_budget, promise, register_goal


@register_goal("knee", example="knee")
def knee_point(problem) -> Found:
    """The fastest setting within one standard error of the most accurate one (`branchynet.thresholds.front.knee`)."""
    settings = problem.settings
    index = knee(problem.expected_costs, settings.accuracies, settings.n_samples)
    return Found(settings.thresholds[index], KNEE_RULE, index=index)


@register_goal("multiply-adds<={budget}", "multiply-adds<=300000", unit="multiply-adds", promise=keeps_budget)
@register_goal("latency<={budget}ms", "latency<=0.05ms", unit="ms", promise=keeps_budget)
def most_accurate(problem, budget) -> Found:
    """The most accurate setting within a budget of milliseconds or multiply-adds a sample; of equals the cheapest."""
    settings, costs = problem.settings, problem.expected_costs
    affordable = np.flatnonzero(costs <= budget * (1 + ROUNDING))
    if len(affordable) == 0:
        raise ThresholdError(f"the cheapest setting takes {costs.min():.4g} {problem.costs.unit}")
    index = affordable[np.lexsort((costs[affordable], -settings.n_right[affordable]))[0]]
    rule = f"the most accurate setting within {budget:,.12g} {problem.costs.unit} a sample"
    return Found(settings.thresholds[index], rule, {"budget": budget}, int(index))


def _is_accurate(test, costs, thresholds, n_validation, accuracy_pct):
    return promise("accuracy (%)", ">=", accuracy_pct, test.evaluate([thresholds]).rows(costs)[0]["accuracy_pct"])


@register_goal("accuracy>={accuracy_pct}%", "accuracy>=99.2%", promise=_is_accurate)
def accurate(problem, accuracy_pct) -> Found:
    """The cheapest setting of at least this accuracy."""
    return _cheapest(problem, accuracy_pct / 100, f"at least {accuracy_pct:g} %")


def _is_near_last(test, costs, thresholds, n_validation, points_pct):
    accuracy_pct = test.evaluate([thresholds]).rows(costs)[0]["accuracy_pct"]
    points = accuracy_pct - 100 * float(test.exit_accuracies()[-1])
    return promise("accuracy less the last exit's (points)", ">=", -points_pct, points)


@register_goal("accuracy>=last-{points_pct}%", "accuracy>=last-0.3%", promise=_is_near_last)
def accurate_as_last(problem, points_pct) -> Found:
    """The cheapest setting at most so many percentage points less accurate than the last exit."""
    last = problem.records.exit_accuracies()[-1]
    words = f"at most {points_pct:g} points below the last exit's {100 * last:.2f} %"
    return _cheapest(problem, last - points_pct / 100, words)


def _cheapest(problem, level, words):
    """The cheapest candidate of at least an accuracy in [0, 1]; of equals the most accurate."""
    settings, costs = problem.settings, problem.expected_costs
    accurate = np.flatnonzero(settings.accuracies >= level - ROUNDING)
    if len(accurate) == 0:
        raise ThresholdError(f"the most accurate setting has {100 * settings.accuracies.max():.2f} %")
    index = accurate[np.lexsort((-settings.n_right[accurate], costs[accurate]))[0]]
    rule = f"the cheapest setting with a validation accuracy of {words}"
    return Found(settings.thresholds[index], rule, {"lowest_accuracy": float(level)}, int(index))

"""Goals that pick one of the candidates: the knee, a budget, an accuracy."""

from __future__ import annotations

import numpy as np

from branchynet.choosers.goals import Found, register_goal
from branchynet.errors import ThresholdError
from branchynet.thresholds import KNEE_RULE, knee

# Sums of products round: what differs by less than this is equal.
_ROUNDING = 1e-9


@register_goal("knee", example="knee")
def knee_point(problem) -> Found:
    """The fastest setting within one standard error of the most accurate one (`branchynet.thresholds.knee`)."""
    settings = problem.settings
    index = knee(problem.expected_costs, settings.accuracies, settings.n_samples)
    return Found(settings.thresholds[index], KNEE_RULE)


@register_goal("latency<={budget}ms", example="latency<=0.05ms", unit="ms")
def latency(problem, budget) -> Found:
    """The most accurate setting within a budget of milliseconds a sample."""
    return _most_accurate(problem, budget, f"{budget:g} ms a sample")


@register_goal("multiply-adds<={budget}", example="multiply-adds<=300000", unit="multiply-adds")
def multiply_adds(problem, budget) -> Found:
    """The most accurate setting within a budget of multiply-adds a sample."""
    return _most_accurate(problem, budget, f"{budget:,.12g} multiply-adds a sample")


@register_goal("accuracy>=last-{points_pct}%", example="accuracy>=last-0.3%")
def accuracy_near_last(problem, points_pct) -> Found:
    """The cheapest setting at most so many percentage points less accurate than the last exit."""
    last = problem.records.exit_accuracies()[-1]
    words = f"at most {points_pct:g} points below the last exit's {100 * last:.2f} %"
    return _cheapest(problem, last - points_pct / 100, words)


@register_goal("accuracy>={accuracy_pct}%", example="accuracy>=99.2%")
def accuracy(problem, accuracy_pct) -> Found:
    """The cheapest setting of at least this accuracy."""
    return _cheapest(problem, accuracy_pct / 100, f"at least {accuracy_pct:g} %")


def _most_accurate(problem, budget, words):
    """The most accurate candidate within a budget; of equals the cheapest."""
    settings, costs = problem.settings, problem.expected_costs
    affordable = np.flatnonzero(costs <= budget * (1 + _ROUNDING))
    if len(affordable) == 0:
        raise ThresholdError(f"the cheapest setting takes {costs.min():.4g} {problem.costs.unit}")
    index = affordable[np.lexsort((costs[affordable], -settings.n_right[affordable]))[0]]
    return Found(settings.thresholds[index], f"the most accurate setting within {words}", {"budget": budget})


def _cheapest(problem, level, words):
    """The cheapest candidate of at least an accuracy; of equals the most accurate."""
    settings, costs = problem.settings, problem.expected_costs
    accurate = np.flatnonzero(settings.accuracies >= level - _ROUNDING)
    if len(accurate) == 0:
        raise ThresholdError(f"the most accurate setting has {100 * settings.accuracies.max():.2f} %")
    index = accurate[np.lexsort((-settings.n_right[accurate], costs[accurate]))[0]]
    rule = f"the cheapest setting with a validation accuracy of {words}"
    return Found(settings.thresholds[index], rule, {"lowest_accuracy": float(level)})

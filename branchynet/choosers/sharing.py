"""Goals that say how many samples are to leave at each exit; the thresholds follow by counting.

Such thresholds are numbers like any others: an answer does not depend on its neighbours in the batch, as it does with
`branchynet.thresholds.PercentExits`.
"""

from __future__ import annotations

import numpy as np

from branchynet.choosers.candidates import always, between, count_classes, get_scores, never
from branchynet.choosers.goals import Found, register_goal
from branchynet.errors import ThresholdError

# Halvings of the interval of ln q, which a float64 can tell no more apart then, and the interval.
_N_HALVINGS, _HIGHEST_LOG_Q = 60, 60.0


@register_goal("quantile={share}", example="quantile=0.5")
def quantile(problem, share) -> Found:
    """The same share of the samples that reach an early exit leaves there, at each of them."""
    shares = (share,) * (problem.records.n_exits - 1)
    return Found(
        _conditional(problem, shares), f"{100 * share:g} % of the samples that reach an early exit leave there"
    )


@register_goal("exits={percents_pct...}", example="exits=60,30")
def exits(problem, percents_pct) -> Found:
    """At each early exit its own percentage of the samples that reach it leaves."""
    thresholds = _conditional(problem, [percent / 100 for percent in percents_pct])
    words = ", ".join(f"{percent:g}" for percent in percents_pct)
    return Found(thresholds, f"{words} % of the samples that reach the early exits leave there")


@register_goal("budget<={budget}ms", example="budget<=0.05ms", unit="ms")
def budget_ms(problem, budget) -> Found:
    """MSDNet's exit distribution within a budget of milliseconds a sample."""
    return _within_budget(problem, budget)


@register_goal("budget<={budget}multiply-adds", example="budget<=300000multiply-adds", unit="multiply-adds")
def budget_multiply_adds(problem, budget) -> Found:
    """MSDNet's exit distribution within a budget of multiply-adds a sample."""
    return _within_budget(problem, budget)


def thresholds_for_counts(records, count) -> tuple:
    """Thresholds at which so many of the recorded samples leave at each early exit, the surest first.

    Args:
        records: `branchynet.thresholds.ExitRecords`.
        count: (early exit, number of samples that reach it) -> how many of them leave. Samples with equal scores leave
            together, so there may be more.

    Returns:
        n_exits - 1 floats, each halfway between the last score that leaves and the first one that stays.
    """
    early_scores, n_classes = get_scores(records)[:-1], count_classes(records)
    remaining = np.arange(len(records.labels))
    thresholds = []
    for early_exit, scores in enumerate(early_scores):
        ordered = np.sort(scores[remaining])
        n_leaving = count(early_exit, len(ordered))
        staying = ordered[ordered > ordered[n_leaving - 1]] if n_leaving > 0 else ordered
        if n_leaving <= 0:
            thresholds.append(never(scores))
        elif len(staying) == 0:
            thresholds.append(always(scores, n_classes))
        else:
            thresholds.append(float(between(ordered[n_leaving - 1], staying[0])))
        remaining = remaining[scores[remaining] >= np.asarray(thresholds[-1], scores.dtype)]
    return tuple(thresholds)


def thresholds_for_shares(records, shares) -> tuple:
    """Thresholds at which these shares of all recorded samples leave at the early exits.

    Args:
        records: `branchynet.thresholds.ExitRecords`.
        shares: n_exits - 1 numbers in [0, 1], their sum at most 1.
    """
    n_samples, until = len(records.labels), np.cumsum(shares)

    def count(early_exit, n_reaching):
        return int(round(until[early_exit] * n_samples)) - (n_samples - n_reaching)

    return thresholds_for_counts(records, count)


def _conditional(problem, shares):
    """Thresholds from shares of the samples that reach each exit."""
    return thresholds_for_counts(problem.records, lambda exit_index, n: int(round(shares[exit_index] * n)))


def geometric_shares(log_q, n_exits) -> np.ndarray:
    """(n_exits,) shares proportional to q**k, k = 1, 2, ... (MSDNet, arXiv 1703.09844; its 1 - q is q here, and, as in
    its code, may be above 1)."""
    exponents = log_q * np.arange(n_exits)
    weights = np.exp(exponents - exponents.max())
    return weights / weights.sum()


def _within_budget(problem, budget):
    """The largest q whose exit distribution keeps the budget: the more is left for the later exits, the better."""
    n_exits, n_samples = problem.records.n_exits, len(problem.records.labels)
    # Where a measured cost is below that of the exit before, by noise, the one before counts.
    costs = np.maximum.accumulate(problem.costs.values)
    if costs[0] > budget:
        raise ThresholdError(f"leaving at the first exit takes {costs[0]:.4g} {problem.costs.unit}")
    low, high = -_HIGHEST_LOG_Q, _HIGHEST_LOG_Q
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if geometric_shares(middle, n_exits) @ costs <= budget:
            low = middle
        else:
            high = middle
    until = np.cumsum(geometric_shares(low, n_exits))

    def count(early_exit, n_reaching):
        # Up to whole samples, so that the budget is kept; less what rounding adds to a whole number.
        return int(np.ceil(until[early_exit] * n_samples - 1e-6)) - (n_samples - n_reaching)

    thresholds = thresholds_for_counts(problem.records, count)
    details = {"budget": budget, "q": float(np.exp(low))}
    rule = f"shares of the exits proportional to q^k, the largest q within {budget:,.12g} {problem.costs.unit} a sample"
    return Found(thresholds, f"{rule} (MSDNet's budgeted batches)", details)

"""Goals that say how many samples are to leave at each exit. The thresholds follow by counting.

Such thresholds are numbers like any others: an answer does not depend on the other samples of its batch, as it does
with `PercentExits`.
"""

import math

import numpy as np

from branchynet.errors import ThresholdError
from branchynet.gate import floats, shown
from branchynet.thresholds.candidates import exit_by_exit, threshold_after
from branchynet.thresholds.goals import Found, keeps_budget, promise, register_goal
from branchynet.thresholds.records import ExitRecords

# The interval of ln q, and how often it is halved: then float64 cannot tell its ends apart.
_HIGHEST_LOG_Q, _N_HALVINGS = 60.0, 60


def thresholds_for_counts(records, count) -> tuple:
    """Thresholds at which so many of the recorded samples leave at each early exit, the surest first: (n_exits - 1)
    floats, each halfway between the last score that leaves and the first one that stays.

    Args:
        records: `ExitRecords`.
        count: (early exit, number of samples that reach it) -> how many of them leave. Samples with equal scores leave
            together, so there may be more.
    """

    def choose(early_exit, rows):
        ordered = np.sort(records.scores[early_exit, rows])
        n_leaving, distinct = count(early_exit, len(rows)), np.unique(ordered)
        n_below = np.searchsorted(distinct, ordered[n_leaving - 1], "right") if n_leaving > 0 else 0
        return threshold_after(records, distinct, n_below)

    return exit_by_exit(records, choose)


def thresholds_for_shares(records, shares) -> tuple:
    """Thresholds at which these shares of all recorded samples leave at the early exits, n_exits - 1 floats.

    Args:
        records: `ExitRecords`.
        shares: n_exits - 1 numbers in [0, 1], their sum at most 1.

    Raises:
        ThresholdError: they are none, or these are no records.
    """
    if not isinstance(records, ExitRecords):
        raise ThresholdError(f"shares: expected ExitRecords, got {type(records).__name__}")
    numbers, n_early = floats(shares), records.n_exits - 1
    if numbers is None or len(numbers) != n_early or not (min(numbers, default=0) >= 0 and sum(numbers) <= 1 + 1e-9):
        raise ThresholdError(f"shares: expected {n_early} numbers >= 0, their sum at most 1, got {shown(shares)}")
    n_samples, until = len(records.labels), np.cumsum(numbers)
    return thresholds_for_counts(records, lambda n, n_reaching: round(until[n] * n_samples) - (n_samples - n_reaching))


def _is_near_share(test, costs, thresholds, n_validation, share):
    """Of the samples that reach each early exit the share that leaves there, at the exit where it is farthest from the
    goal. It counts as met within two standard errors of both sets of samples."""
    exits = test.exits_at(thresholds)
    pairs = [((exits == n).sum(), (exits >= n).sum()) for n in range(test.n_exits - 1) if (exits >= n).any()]
    if not pairs:
        return None
    n_leaving, n_reaching = max(pairs, key=lambda pair: abs(pair[0] / pair[1] - share))
    value, n_reaching_before = n_leaving / n_reaching, n_reaching / len(exits) * n_validation
    error = math.sqrt(share * (1 - share) * (1 / n_reaching + 1 / n_reaching_before))
    held = promise("leaving, of those who reach the exit (%)", "<=", 100 * share, 100 * float(value))
    return {**held, "relation": "=", "met": bool(abs(value - share) <= 2 * error)}


@register_goal("quantile={share}", "quantile=0.5", promise=_is_near_share)
def quantile(problem, share) -> Found:
    """The same share of the samples that reach an early exit leaves there, at each of them."""
    thresholds = thresholds_for_counts(problem.records, lambda n, n_reaching: round(share * n_reaching))
    return Found(thresholds, f"{100 * share:g} % of the samples that reach an early exit leave there")


@register_goal("exits={percents_pct...}", "exits=60,30")
def exits(problem, percents_pct) -> Found:
    """At each early exit its own percentage of the samples that reach it leaves."""
    thresholds = thresholds_for_counts(problem.records, lambda n, n_reaching: round(percents_pct[n] / 100 * n_reaching))
    words = ", ".join(f"{percent:g}" for percent in percents_pct)
    return Found(thresholds, f"{words} % of the samples that reach the early exits leave there")


@register_goal("budget<={budget}multiply-adds", "budget<=300000multiply-adds", "multiply-adds", keeps_budget)
@register_goal("budget<={budget}ms", "budget<=0.05ms", "ms", keeps_budget)
def exit_distribution(problem, budget) -> Found:
    """MSDNet's exit distribution (arXiv 1703.09844) within a budget of milliseconds or multiply-adds a sample.

    The shares of the exits are proportional to q^k, k = 1, 2, ... (1 - q in the paper; q may be above 1, as in its
    code). The largest q that keeps the budget is taken, which leaves most to the later exits.
    """
    n_samples, unit = len(problem.records.labels), problem.costs.unit
    # A measured cost may lie below that of the exit before, by noise; then the one before counts.
    costs = np.maximum.accumulate(problem.costs.values)
    if costs[0] > budget:
        raise ThresholdError(f"leaving at the first exit takes {costs[0]:.4g} {unit}")
    low, high = -_HIGHEST_LOG_Q, _HIGHEST_LOG_Q
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if geometric_shares(middle, len(costs)) @ costs <= budget else (low, middle)
    until = np.cumsum(geometric_shares(low, len(costs)))

    def count(early_exit, n_reaching):
        # Up to whole samples, so that the budget is kept; less what rounding adds to a whole number.
        return math.ceil(until[early_exit] * n_samples - 1e-6) - (n_samples - n_reaching)

    rule = f"shares of the exits proportional to q^k, the largest q within {budget:,.12g} {unit} a sample"
    details = {"budget": budget, "q": math.exp(low)}
    return Found(thresholds_for_counts(problem.records, count), f"{rule} (MSDNet's budgeted batches)", details)


def geometric_shares(log_q, n_exits) -> np.ndarray:
    """(n_exits,) float64 shares of the exits with sum 1, proportional to q**k, k = 1, 2, ...; log_q is ln q."""
    exponents = log_q * np.arange(n_exits)
    weights = np.exp(exponents - exponents.max())
    return weights / weights.sum()

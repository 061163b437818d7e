"""A goal for the accuracy of the least sure answers (PCEE, arXiv 2412.19325)."""

import numpy as np

from branchynet.thresholds.candidates import exit_by_exit, threshold_after
from branchynet.thresholds.goals import ROUNDING, Found, promise, register_goal


def _leave_right(test, costs, thresholds, n_validation, accuracy_pct):
    """Of the samples that leave at each early exit the accuracy; the lowest one."""
    accuracies = [accuracy for accuracy in _accuracies_of_leaving(test, thresholds) if accuracy is not None]
    if not accuracies:
        return None
    return promise("accuracy of those leaving early (%)", ">=", accuracy_pct, 100 * min(accuracies))


@register_goal("bin-accuracy>={accuracy_pct}%", "bin-accuracy>=99%", promise=_leave_right)
def bin_accuracy(problem, accuracy_pct) -> Found:
    """A sample leaves where the validation samples that the exit is as sure of are right often enough.

    PCEE puts the validation samples into bins of confidence and lets a sample leave if the accuracy of its bin is high
    enough. Bins of a fixed width are noisy: a bin of surer samples may be the less accurate one. So here bins are
    pooled until accuracy falls as the score rises (isotonic regression). The threshold is the upper end of the last
    bin that is accurate enough. At each exit only the samples count that reach it.
    """
    records, level = problem.records, accuracy_pct / 100
    thresholds = exit_by_exit(records, lambda early_exit, rows: reliable_below(records, early_exit, rows, level))
    rule = (
        f"a sample leaves where samples that the exit is as sure of are right in {accuracy_pct:g} % of the cases "
        "(PCEE; pooled bins, as thresholds)"
    )
    details = {"lowest_bin_accuracy": level, "accuracy_of_leaving": _accuracies_of_leaving(records, thresholds)}
    return Found(thresholds, rule, details)


def reliable_below(records, early_exit, rows, level) -> float:
    """The threshold below which isotonic regression of "is right" on the score is at least `level`.

    Right answers less `level` are summed from the surest sample on. As long as pooling adds a bin that is accurate
    enough, the sum grows; so the threshold is where the sum is largest.

    Args:
        records: `ExitRecords`.
        early_exit: 0 for the first.
        rows: (n,) indices of the samples that count.
        level: accuracy in [0, 1].
    """
    distinct, positions = np.unique(records.scores[early_exit, rows], return_inverse=True)
    gains = np.bincount(positions, records.right[early_exit, rows] - level, minlength=len(distinct))
    surplus = np.cumsum([0.0, *gains])
    # Of equal sums the last, but for rounding.
    return threshold_after(records, distinct, int(np.flatnonzero(surplus >= surplus.max() - ROUNDING)[-1]))


def _accuracies_of_leaving(records, thresholds):
    """[accuracy in [0, 1] of the samples that leave at each early exit, None where none does]."""
    exits, right = records.exits_at(thresholds), records.right
    leaving = [right[n][exits == n] for n in range(records.n_exits - 1)]
    return [float(is_right.mean()) if len(is_right) else None for is_right in leaving]

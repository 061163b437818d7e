"""A goal for the accuracy of the least sure answers (PCEE, arXiv 2412.19325)."""

from __future__ import annotations

import numpy as np

from branchynet.choosers.candidates import always, between, count_classes, get_scores, never
from branchynet.choosers.goals import Found, register_goal


@register_goal("bin-accuracy>={accuracy_pct}%", example="bin-accuracy>=99%")
def bin_accuracy(problem, accuracy_pct) -> Found:
    """A sample leaves where validation samples that the exit is as sure of are right often enough.

    PCEE puts the validation samples into bins of confidence and lets a sample leave if the accuracy of its bin is high
    enough. Bins of a fixed width are noisy, and a bin of surer samples may be the less accurate one; so here the bins
    are pooled until accuracy falls as the score rises (isotonic regression). Then they become a threshold: the upper
    end of the last bin that is accurate enough. At each exit only the samples count that reach it.
    """
    records, level = problem.records, accuracy_pct / 100
    right = records.predictions == records.labels
    n_classes = count_classes(records)
    remaining = np.arange(len(records.labels))
    thresholds, accuracies = [], []
    for scores, is_right in zip(get_scores(records)[:-1], right):
        thresholds.append(reliable_below(scores[remaining], is_right[remaining], level, n_classes))
        leaving = scores[remaining] < np.asarray(thresholds[-1], scores.dtype)
        accuracies.append(float(is_right[remaining[leaving]].mean()) if leaving.any() else None)
        remaining = remaining[~leaving]
    rule = (
        f"a sample leaves where samples that the exit is as sure of are right in {accuracy_pct:g} % of the cases "
        "(PCEE; pooled bins, as thresholds)"
    )
    return Found(tuple(thresholds), rule, {"lowest_bin_accuracy": level, "accuracy_of_leaving": accuracies})


def reliable_below(scores, is_right, level, n_classes) -> float:
    """The threshold below which isotonic regression of "is right" on the score is at least `level`.

    That is where right answers less `level`, summed from the surest sample on, are the most: as long as pooling adds a
    bin that is accurate enough, the sum grows.

    Args:
        scores: (n,) float, the lower, the surer.
        is_right: (n,) bool.
        level: accuracy in [0, 1].
        n_classes: number of classes.
    """
    distinct, positions = np.unique(scores, return_inverse=True)
    surplus = np.cumsum(np.bincount(positions, is_right - level, minlength=len(distinct)))
    # Of equal sums the last, but for rounding.
    n_bins = 1 + int(np.flatnonzero(surplus >= surplus.max() - 1e-9)[-1]) if len(distinct) else 0
    if n_bins == 0 or surplus[n_bins - 1] < -1e-9:
        return never(scores)
    if n_bins == len(distinct):
        return always(scores, n_classes)
    return float(between(distinct[n_bins - 1], distinct[n_bins]))

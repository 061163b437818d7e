"""Whether an exit is right as often as it says (reliability diagrams: Guo et al. 2017, arXiv 1706.04599)."""

import numpy as np


def reliability_bins(confidences, right, n_bins=15) -> list:
    """Samples put together that an exit is about as sure of.

    Args:
        confidences: (N,) float in [0, 1], the largest probability.
        right: (N,) bool.
        n_bins: bins of equal width over [0, 1].

    Returns:
        of each bin that is not empty, the lowest first: {"confidence": mean in it, "accuracy": in [0, 1], "count"}.
    """
    # A confidence of 1 belongs to the last bin.
    bins = np.minimum((np.asarray(confidences, np.float64) * n_bins).astype(int), n_bins - 1)
    counts = np.bincount(bins, minlength=n_bins)
    columns = {"confidence": np.bincount(bins, confidences, n_bins), "accuracy": np.bincount(bins, right, n_bins)}
    return [
        {**{key: float(sums[n] / counts[n]) for key, sums in columns.items()}, "count": int(counts[n])}
        for n in np.flatnonzero(counts)
    ]


def expected_calibration_error(bins) -> float:
    """Mean distance of confidence and accuracy over the bins, each counted with its samples; in [0, 1].

    Args:
        bins: of `reliability_bins`, at least one.
    """
    total = sum(entry["count"] for entry in bins)
    return sum(entry["count"] * abs(entry["confidence"] - entry["accuracy"]) for entry in bins) / total

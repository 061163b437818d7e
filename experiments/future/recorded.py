"""Logits of all exits, recorded once: any measure and any setting of T can then be evaluated without the network."""

from __future__ import annotations

import dataclasses

import numpy as np

from branchynet.experiment.recorded import shown_logits
from branchynet.thresholds import ExitRecords


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What every exit computes for every sample."""

    logits: np.ndarray  # (n_exits, N, n_classes) float32
    labels: np.ndarray  # (N,) int32, the truth

    @classmethod
    def of(cls, net, x, labels) -> Recorded:
        """One pass of a `BranchyNet` over x (N, C, H, W) float32 with labels (N,)."""
        return cls(shown_logits(net, x, "recording"), np.asarray(labels, np.int32))

    def parted(self, share=0.5, seed=0) -> list:
        """The samples in two parts by chance; the first has that share of them, rounded down."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        parts = np.split(order, [int(share * len(order))])
        return [Recorded(self.logits[:, rows], self.labels[rows]) for rows in parts]

    def records(self, measure) -> ExitRecords:
        """The records by one measure."""
        return ExitRecords.of(self.logits, self.labels, measure)


def difference(right, other_right) -> dict:
    """How much more often one way is right than another on the same samples.

    Args:
        right, other_right: (N,) bool, or shares of being right in [0, 1].

    Returns:
        {"points": percentage points, "standard_error_points"}, of the paired differences.
    """
    differences = np.asarray(right, np.float64) - np.asarray(other_right, np.float64)
    error = differences.std() / np.sqrt(len(differences))
    return {"points": 100 * float(differences.mean()), "standard_error_points": 100 * float(error)}

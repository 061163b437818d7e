"""Many settings of T, evaluated at once on recorded predictions."""

from __future__ import annotations

import dataclasses

import numpy as np

from branchynet.choosers.candidates import get_scores

# Comparisons (settings x samples) at a time: arrays of this size stay near the processor.
_N_COMPARISONS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Settings:
    """What K settings of T give on the same N samples, in whole samples.

    Attributes:
        thresholds: (K, n_exits - 1) float64.
        n_leaving: (K, n_exits) samples that leave at each exit.
        n_right: (K,) samples that are answered right.
        n_spoilt: (K,) samples that are answered wrong, and that the last exit would answer right.
        n_samples: N.
    """

    thresholds: np.ndarray
    n_leaving: np.ndarray
    n_right: np.ndarray
    n_spoilt: np.ndarray
    n_samples: int

    @property
    def accuracies(self) -> np.ndarray:
        """(K,) in [0, 1]."""
        return self.n_right / self.n_samples

    @property
    def exit_shares(self) -> np.ndarray:
        """(K, n_exits) in [0, 1], each row with sum 1."""
        return self.n_leaving / self.n_samples

    def expected_costs(self, costs) -> np.ndarray:
        """(K,) mean cost of a sample, in the unit of `costs` (`ExitCosts`)."""
        return (self.exit_shares * costs.values).sum(axis=1)


def evaluate_settings(records, thresholds) -> Settings:
    """Evaluates settings of T, as `branchynet.thresholds.evaluate` does one by one.

    Args:
        records: `branchynet.thresholds.ExitRecords`.
        thresholds: (K, n_exits - 1).
    """
    scores = get_scores(records)
    right = records.predictions == records.labels
    # What to count of the samples that leave at an exit: all, those answered right, those spoilt.
    # (n_exits, N, 3); float32 counts exactly up to 2**24 samples.
    outcomes = np.stack([np.ones_like(right), right, right[-1] & ~right], axis=2).astype(np.float32)
    thresholds = np.asarray(thresholds, dtype=np.float64).reshape(len(thresholds), len(scores) - 1)
    n_samples = scores.shape[1]
    step = max(1, _N_COMPARISONS // n_samples)
    # A rule compares a score with a number in the precision of the score.
    rounded = thresholds.astype(scores.dtype)
    parts = [_count(scores, outcomes, rounded[start : start + step]) for start in range(0, len(thresholds), step)]
    counts = np.concatenate([np.zeros((0, len(scores), 3)), *parts]).round().astype(np.int64)  # (K, n_exits, 3)
    n_right, n_spoilt = counts[:, :, 1].sum(axis=1), counts[:, :, 2].sum(axis=1)
    return Settings(thresholds, counts[:, :, 0], n_right, n_spoilt, n_samples)


def _count(scores, outcomes, thresholds):
    """(k, n_exits, 3): the outcomes of the samples that leave at each exit, summed."""
    counts = np.empty((len(thresholds), len(scores), outcomes.shape[2]))
    staying = np.ones((len(thresholds), scores.shape[1]), dtype=bool)
    for early_exit in range(len(scores) - 1):
        leaving = staying & (scores[early_exit] < thresholds[:, early_exit, None])  # (k, N)
        counts[:, early_exit] = leaving.astype(np.float32) @ outcomes[early_exit]
        staying &= ~leaving
    counts[:, -1] = staying.astype(np.float32) @ outcomes[-1]
    return counts

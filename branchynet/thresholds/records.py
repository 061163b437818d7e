"""Exit records: what every exit says of every sample. Any setting of T is evaluated on them, without the network."""

from __future__ import annotations

import dataclasses

import numpy as np

from branchynet.confidence import ENTROPY, as_measure
from branchynet.errors import ThresholdError
from branchynet.gate import check_logits
from branchynet.gate import labels as as_labels
from branchynet.machine.devices import to_host
from branchynet.thresholds.rule import as_exit_rule, as_float32, assign_exits, is_below

# Comparisons (settings x samples) at a time: arrays of this size stay near the processor.
_N_COMPARISONS = 1 << 20


@dataclasses.dataclass(frozen=True)
class ExitRecords:
    """What every exit says of every sample.

    Raises:
        ThresholdError: the arrays are of other shapes or types.
    """

    scores: np.ndarray  # (n_exits, N) float32, the lower the surer; by default entropies in nats
    predictions: np.ndarray  # (n_exits, N) integers, the classes that are answered
    labels: np.ndarray  # (N,) integers, the truth
    lowest: float = 0.0  # lower bound of the scores, `Measure.lowest`

    def __post_init__(self):
        scores, predictions, labels = arrays = self.scores, self.predictions, self.labels
        fits = (
            all(isinstance(array, np.ndarray) for array in arrays)
            and (scores.dtype, scores.ndim) == (np.float32, 2)
            and len(scores) > 0
            and (predictions.shape, labels.shape) == (scores.shape, scores.shape[1:])
            and predictions.dtype.kind in "iu"
            and labels.dtype.kind in "iu"
        )
        if not fits:
            found = [f"{getattr(array, 'dtype', type(array))} {getattr(array, 'shape', '')}" for array in arrays]
            raise ThresholdError(
                "exit records: expected scores (n_exits, N) float32, predictions (n_exits, N) integers and labels (N,) "
                f"integers, got {', '.join(found)}"
            )

    @classmethod
    def of(cls, logits, labels, measure=ENTROPY) -> ExitRecords:
        """The records of one pass by one measure. Another measure needs no other pass.

        Args:
            logits: (n_exits, N, n_classes) float32, NumPy or CuPy, as `branchynet.inference.record_logits` returns.
            labels: (N,) integers.
            measure: a `branchynet.confidence.Measure`, or the name of one.

        Raises:
            MeasureError: there is no such measure, it is not fitted, or it was fitted to another network.
            ThresholdError: logits or labels are of another kind, or a logit is not finite.
        """
        measure = as_measure(measure)
        check_logits(logits, ThresholdError)
        measure.check(len(logits))
        labels = as_labels(labels, *logits[0].shape, ThresholdError)
        scores = [to_host(exit_scores) for exit_scores in measure.scores_of_exits(logits)]
        predictions = [to_host(exit_logits.argmax(axis=1)) for exit_logits in logits]
        return cls(
            np.stack(scores).astype(np.float32),
            np.stack(predictions).astype(np.int32),
            labels,
            measure.lowest,
        )

    @property
    def n_exits(self) -> int:
        """The number of exits, the last one included."""
        return len(self.scores)

    @property
    def n_classes(self) -> int:
        """The number of classes, as far as labels and predictions tell."""
        return 1 + int(max(self.labels.max(), self.predictions.max()))

    @property
    def right(self) -> np.ndarray:
        """(n_exits, N) bool: which samples each exit answers right."""
        return self.predictions == self.labels

    def exit_accuracies(self) -> np.ndarray:
        """(n_exits,) in [0, 1]: the accuracy of each exit if every sample left there; ThresholdError of no sample."""
        if len(self.labels) == 0:
            raise ThresholdError("exit records: expected at least one sample, got none")
        return self.right.mean(axis=1)

    def take(self, rows) -> ExitRecords:
        """The records of some of the samples: rows is a slice, or (n,) indices."""
        return ExitRecords(self.scores[:, rows], self.predictions[:, rows], self.labels[rows], self.lowest)

    def exits_at(self, thresholds) -> np.ndarray:
        """(N,) int32: the exit, 0 for the first, that each sample takes at one setting of T, as of `as_exit_rule`."""
        self._check_scores()
        return assign_exits(self.scores, as_exit_rule(thresholds, self.n_exits, self.lowest))

    def right_at(self, thresholds) -> np.ndarray:
        """(N,) bool: which samples are answered right at one setting of T, as of `as_exit_rule`."""
        return np.take_along_axis(self.right, self.exits_at(thresholds)[None], axis=0)[0]

    def evaluate(self, settings) -> Outcomes:
        """What settings of T give. The sweep, the goals, the tables and the study all ask this.

        Args:
            settings: (K, n_exits - 1) floats, K settings of one T for each early exit.

        Raises:
            ThresholdError: the settings are of another form, there is no sample, or a score is NaN.
        """
        self._check_scores()
        settings, n_samples = self._checked(settings), len(self.labels)
        if n_samples == 0:
            raise ThresholdError("evaluate: expected at least one sample, got none")
        right = self.right
        # What to count of the samples that leave at an exit: all, those answered right, those spoilt.
        # (n_exits, N, 3); float32 counts exactly up to 2**24 samples.
        counted = np.stack([np.ones_like(right), right, right[-1] & ~right], axis=2).astype(np.float32)
        step = max(1, _N_COMPARISONS // n_samples)
        starts = range(0, len(settings), step)
        parts = [_count(self.scores, counted, as_float32(settings[start : start + step])) for start in starts]
        counts = np.concatenate([np.zeros((0, self.n_exits, 3)), *parts]).round().astype(np.int64)  # (K, n_exits, 3)
        n_right, n_spoilt = counts[:, :, 1].sum(axis=1), counts[:, :, 2].sum(axis=1)
        return Outcomes(settings, counts[:, :, 0], n_right, n_spoilt, n_samples)

    def _check_scores(self):
        if np.isnan(self.scores[:-1]).any():
            raise ThresholdError("exit records: expected scores that are numbers at the early exits, got NaN")

    def _checked(self, settings):
        """Settings as (K, n_exits - 1) float64."""
        try:
            is_masked, settings = isinstance(settings, np.ma.MaskedArray), np.asarray(settings)
        except ValueError as error:
            raise ThresholdError(f"evaluate: expected settings of T (K, {self.n_exits - 1}), got {error}") from error
        if is_masked or settings.dtype.kind not in "iuf" or settings.shape[1:] != (self.n_exits - 1,):
            found = f"{settings.dtype} of shape {settings.shape}"
            raise ThresholdError(f"evaluate: expected settings of T (K, {self.n_exits - 1}), got {found}")
        unfit = settings[~(settings >= self.lowest)]
        if len(unfit) > 0:
            raise ThresholdError(f"evaluate: expected thresholds >= {self.lowest:g}, got {unfit[0]}")
        return settings.astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What K settings of T give on the same N samples, in whole samples."""

    thresholds: np.ndarray  # (K, n_exits - 1) float64
    n_leaving: np.ndarray  # (K, n_exits) int64, samples that leave at each exit
    n_right: np.ndarray  # (K,) int64, samples that are answered right
    n_spoilt: np.ndarray  # (K,) int64, samples that are answered wrong, and that the last exit would answer right
    n_samples: int  # N

    @property
    def accuracies(self) -> np.ndarray:
        """(K,) in [0, 1]."""
        return self.n_right / self.n_samples

    @property
    def exit_shares(self) -> np.ndarray:
        """(K, n_exits) in [0, 1], each row with sum 1."""
        return self.n_leaving / self.n_samples

    def expected_costs(self, costs) -> np.ndarray:
        """(K,) mean cost of a sample, in the unit of `costs`, `branchynet.thresholds.ExitCosts`."""
        return (self.exit_shares * costs.values).sum(axis=1)

    def rows(self, costs) -> list:
        """What each setting gives, as JSON-able dictionaries; costs are `branchynet.thresholds.ExitCosts`.

        Returns:
            list of K {"accuracy_pct", "cost": mean cost of a sample, "exit_pct": [share that leaves at each exit],
            "early_pct": share that leaves before the last exit}.
        """
        return [
            {
                "accuracy_pct": 100 * float(accuracy),
                "cost": float(cost),
                "exit_pct": (100 * shares).tolist(),
                "early_pct": 100 * float(shares[:-1].sum()),
            }
            for accuracy, cost, shares in zip(self.accuracies, self.expected_costs(costs), self.exit_shares)
        ]


def _count(scores, counted, thresholds):
    """(k, n_exits, 3): of the samples that leave at each exit what is `counted` (n_exits, N, 3), summed."""
    counts = np.empty((len(thresholds), len(scores), counted.shape[2]))
    staying = np.ones((len(thresholds), scores.shape[1]), dtype=bool)
    for early_exit in range(len(scores) - 1):
        leaving = staying & is_below(scores[early_exit], thresholds[:, early_exit, None])  # (k, N)
        counts[:, early_exit] = leaving.astype(np.float32) @ counted[early_exit]
        staying &= ~leaving
    counts[:, -1] = staying.astype(np.float32) @ counted[-1]
    return counts

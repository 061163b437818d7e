"""The exit rule, and choosing its thresholds T on recorded predictions.

The rule is the paper's fast inference (section III-C): a sample leaves at the first exit n whose score is below T_n;
the last exit takes every sample that reaches it. The score is the entropy, or what another measure of
`branchynet.confidence` gives; the lower, the surer. It exists once, here: inference, evaluation and the sweep all
ask it.

Choosing needs no network. The network predicts once (`ExitRecords`); every setting of T is then evaluated on the
recorded arrays.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers

import numpy as np
from chainer.backend import get_array_module

from branchynet.confidence import ENTROPY, as_measure
from branchynet.devices import to_host
from branchynet.errors import ThresholdError


@dataclasses.dataclass(frozen=True)
class EntropyThresholds:
    """Leave at exit n if the score, by default the entropy in nats, is below ``values[n]``; one for each early exit."""

    values: tuple

    def leaves(self, early_exit, scores):
        """Which samples leave: scores (N,) -> bool (N,)."""
        return scores < self.values[early_exit]


@dataclasses.dataclass(frozen=True)
class PercentExits:
    """Let the surest ``values[n]`` percent of the samples that reach exit n leave there; one value per early exit.

    The share is of the batch at hand, so an answer depends on its neighbours in the batch: this is for finding out
    what a share of exits would cost, as in the authors' code (percentTestExits).
    """

    values: tuple

    def leaves(self, early_exit, scores):
        """Which samples leave: scores (N,) -> bool (N,)."""
        xp = get_array_module(scores)
        n_leaving = int(round(self.values[early_exit] / 100 * len(scores)))
        mask = xp.zeros(len(scores), dtype=bool)
        mask[xp.argsort(scores)[:n_leaving]] = True
        return mask


def as_exit_rule(thresholds, n_exits: int, lowest: float = 0.0):
    """The exit rule that a caller means.

    Args:
        thresholds: one number for all early exits, a sequence of one number for each, or a `PercentExits`.
        n_exits: the network's exits, the last one included.
        lowest: lower bound of the scores, `Measure.lowest`; 0 for the entropy.

    Returns:
        an object with ``leaves(early_exit, scores)``.

    Raises:
        ThresholdError: their number does not fit the network, or one of them is not a number >= lowest (or a
            percentage).
    """
    n_early = n_exits - 1
    percent = isinstance(thresholds, PercentExits)
    values = thresholds.values if isinstance(thresholds, (PercentExits, EntropyThresholds)) else thresholds
    if isinstance(values, numbers.Real):
        values = (values,) * n_early
    try:
        values = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ThresholdError(f"thresholds: expected a number or a list of numbers, got {thresholds!r}") from None
    if len(values) != n_early:
        raise ThresholdError(f"thresholds: expected {n_early} (the last exit takes all), got {len(values)}")
    lowest, highest = (0.0, 100.0) if percent else (lowest, math.inf)
    for value in values:
        if not lowest <= value <= highest:
            expected = "a percentage from 0 to 100" if percent else f"a score >= {lowest:g} (an entropy: in nats)"
            raise ThresholdError(f"thresholds: expected {expected}, got {value}")
    return PercentExits(values) if percent else EntropyThresholds(values)


@dataclasses.dataclass(frozen=True)
class ExitRecords:
    """What every exit says of every sample, so that any setting of T can be evaluated without the network.

    Attributes:
        scores: (n_exits, N) float32, the lower the surer: entropies in nats, unless another measure was asked for.
        predictions: (n_exits, N) int32.
        labels: (N,) int32, the truth.
        lowest: lower bound of the scores.
    """

    scores: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray
    lowest: float = 0.0

    @classmethod
    def of(cls, logits, labels, measure=ENTROPY) -> ExitRecords:
        """The records of one pass, by one measure; another measure needs no other pass.

        Args:
            logits: (n_exits, N, n_classes) float32, NumPy or CuPy: `branchynet.inference.record_logits`.
            labels: (N,) int32.
            measure: a `branchynet.confidence.Measure`, or the name of one.

        Raises:
            MeasureError: there is no such measure, or it is not fitted, or to another network.
        """
        measure = as_measure(measure)
        measure.check(len(logits))
        scores = [to_host(exit_scores) for exit_scores in measure.scores_of_exits(logits)]
        predictions = [to_host(exit_logits.argmax(axis=1)) for exit_logits in logits]
        return cls(
            np.stack(scores).astype(np.float32),
            np.stack(predictions).astype(np.int32),
            np.asarray(labels, dtype=np.int32),
            measure.lowest,
        )

    @property
    def n_exits(self) -> int:
        """The number of exits, the last one included."""
        return len(self.scores)

    def exit_accuracies(self) -> np.ndarray:
        """(n_exits,) accuracy in [0, 1] of each exit if every sample left there."""
        return (self.predictions == self.labels).mean(axis=1)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What one setting of T gives: accuracy in [0, 1] and the share of the samples leaving at each exit."""

    thresholds: tuple
    accuracy: float
    exit_shares: tuple


def assign_exits(scores, rule):
    """The exit that each sample takes.

    Args:
        scores: (n_exits, N).
        rule: an exit rule of `as_exit_rule`.

    Returns:
        (N,) int32, 0 for the first exit.
    """
    xp = get_array_module(scores)
    n_exits, n_samples = scores.shape
    exits = xp.full(n_samples, n_exits - 1, dtype=np.int32)
    remaining = xp.arange(n_samples)
    for early_exit in range(n_exits - 1):
        leaving = rule.leaves(early_exit, scores[early_exit, remaining])
        exits[remaining[leaving]] = early_exit
        remaining = remaining[~leaving]
    return exits


def evaluate(records: ExitRecords, thresholds) -> Evaluation:
    """Accuracy and exit shares of one setting of T on recorded predictions."""
    rule = as_exit_rule(thresholds, records.n_exits, records.lowest)
    exits = assign_exits(records.scores, rule)
    predictions = np.take_along_axis(records.predictions, exits[None], axis=0)[0]
    shares = np.bincount(exits, minlength=records.n_exits) / len(exits)
    return Evaluation(rule.values, float((predictions == records.labels).mean()), tuple(shares.tolist()))


def sweep(records: ExitRecords, grid) -> list:
    """Evaluates all combinations of the thresholds in `grid` (paper, section IV-B: T is found by a sweep).

    Args:
        records: predictions of all exits.
        grid: thresholds, tried at every early exit; in nats, if the scores are entropies.

    Returns:
        list of `Evaluation`, len(grid) ** (n_exits - 1) of them.
    """
    return [evaluate(records, thresholds) for thresholds in itertools.product(grid, repeat=records.n_exits - 1)]


def front(times_ms, accuracies) -> list:
    """Indices of the non-dominated points, fastest first: no other point is as fast and more accurate, or as accurate
    and faster. Of equal points the first stands for all."""
    order = sorted(range(len(times_ms)), key=lambda i: (times_ms[i], -accuracies[i], i))
    indices, best = [], -math.inf
    for index in order:
        if accuracies[index] > best:
            indices.append(index)
            best = accuracies[index]
    return indices


KNEE_RULE = (
    "the fastest setting whose accuracy is within one standard error of the most accurate one "
    "(one-standard-error rule, Breiman et al. 1984)"
)


def knee(times_ms, accuracies, n_samples: int) -> int:
    """Index of the knee point of accuracy against time, by `KNEE_RULE`.

    A difference below the standard error of the accuracy, ``sqrt(a (1 - a) / n)``, says nothing about other samples;
    so accuracy is given up for speed down to there, and no further.

    Args:
        times_ms: mean time of each setting.
        accuracies: accuracy of each setting, in [0, 1].
        n_samples: samples that the accuracies were counted on.

    Raises:
        ThresholdError: there is no setting to choose from.
    """
    if len(times_ms) == 0:
        raise ThresholdError("knee: expected at least one setting of T, got none")
    highest = max(accuracies)
    lowest_accepted = highest - math.sqrt(highest * (1 - highest) / n_samples)
    return next(index for index in front(times_ms, accuracies) if accuracies[index] >= lowest_accepted)

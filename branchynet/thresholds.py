"""The exit rule, and choosing its thresholds T on recorded predictions.

The rule is the paper's fast inference (section III-C): a sample leaves at the first exit n whose entropy is below
T_n; the last exit takes every sample that reaches it. It exists once, here: inference, evaluation and the sweep all
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

from branchynet.errors import ThresholdError


@dataclasses.dataclass(frozen=True)
class EntropyThresholds:
    """Leave at exit n if the entropy is below ``values[n]`` nats; one value for each early exit."""

    values: tuple

    def leaves(self, early_exit, entropy):
        """Which samples leave: entropy (N,) in nats -> bool (N,)."""
        return entropy < self.values[early_exit]


@dataclasses.dataclass(frozen=True)
class PercentExits:
    """Let the surest ``values[n]`` percent of the samples that reach exit n leave there; one value per early exit.

    The share is of the batch at hand, so an answer depends on its neighbours in the batch: this is for finding out
    what a share of exits would cost, as in the authors' code (percentTestExits).
    """

    values: tuple

    def leaves(self, early_exit, entropy):
        """Which samples leave: entropy (N,) in nats -> bool (N,)."""
        xp = get_array_module(entropy)
        n_leaving = int(round(self.values[early_exit] / 100 * len(entropy)))
        mask = xp.zeros(len(entropy), dtype=bool)
        mask[xp.argsort(entropy)[:n_leaving]] = True
        return mask


def as_exit_rule(thresholds, n_exits: int):
    """The exit rule that a caller means.

    Args:
        thresholds: one number for all early exits, a sequence of one number for each, or a `PercentExits`.
        n_exits: the network's exits, the last one included.

    Returns:
        an object with ``leaves(early_exit, entropy)``.

    Raises:
        ThresholdError: their number does not fit the network, or one of them is not a number >= 0 (or a percentage).
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
    highest = 100.0 if percent else math.inf
    for value in values:
        if not 0.0 <= value <= highest:
            expected = "a percentage from 0 to 100" if percent else "an entropy >= 0 nats"
            raise ThresholdError(f"thresholds: expected {expected}, got {value}")
    return PercentExits(values) if percent else EntropyThresholds(values)


@dataclasses.dataclass(frozen=True)
class ExitRecords:
    """What every exit says of every sample, so that any setting of T can be evaluated without the network.

    Attributes:
        entropies: (n_exits, N) float32, nats.
        predictions: (n_exits, N) int32.
        labels: (N,) int32, the truth.
    """

    entropies: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray

    @property
    def n_exits(self) -> int:
        """The number of exits, the last one included."""
        return len(self.entropies)

    def exit_accuracies(self) -> np.ndarray:
        """(n_exits,) accuracy in [0, 1] of each exit if every sample left there."""
        return (self.predictions == self.labels).mean(axis=1)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What one setting of T gives: accuracy in [0, 1] and the share of the samples leaving at each exit."""

    thresholds: tuple
    accuracy: float
    exit_shares: tuple


def assign_exits(entropies, rule):
    """The exit that each sample takes.

    Args:
        entropies: (n_exits, N) nats.
        rule: an exit rule of `as_exit_rule`.

    Returns:
        (N,) int32, 0 for the first exit.
    """
    xp = get_array_module(entropies)
    n_exits, n_samples = entropies.shape
    exits = xp.full(n_samples, n_exits - 1, dtype=np.int32)
    remaining = xp.arange(n_samples)
    for early_exit in range(n_exits - 1):
        leaving = rule.leaves(early_exit, entropies[early_exit, remaining])
        exits[remaining[leaving]] = early_exit
        remaining = remaining[~leaving]
    return exits


def evaluate(records: ExitRecords, thresholds) -> Evaluation:
    """Accuracy and exit shares of one setting of T on recorded predictions."""
    rule = as_exit_rule(thresholds, records.n_exits)
    exits = assign_exits(records.entropies, rule)
    predictions = np.take_along_axis(records.predictions, exits[None], axis=0)[0]
    shares = np.bincount(exits, minlength=records.n_exits) / len(exits)
    return Evaluation(rule.values, float((predictions == records.labels).mean()), tuple(shares.tolist()))


def sweep(records: ExitRecords, grid) -> list:
    """Evaluates all combinations of the thresholds in `grid` (paper, section IV-B: T is found by a sweep).

    Args:
        records: predictions of all exits.
        grid: thresholds in nats, tried at every early exit.

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

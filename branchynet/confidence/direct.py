"""Measures that need no fitting: entropy, the paper's, first."""

from __future__ import annotations

import math

import numpy as np
from chainer.backend import get_array_module

from branchynet.confidence.logits import entropy, sorted_softmax
from branchynet.confidence.measure import Measure, register_measure
from branchynet.errors import MeasureError


@register_measure("entropy")
class Entropy(Measure):
    """Entropy of the softmax output in nats, in [0, ln n_classes] (paper, section III-C). The default."""

    def scores(self, exit_index, logits, earlier=()):
        """`branchynet.confidence.entropy` of the logits, (N,) nats."""
        return entropy(logits)

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """The entropy of one sample's softmax output, nats, in plain Python."""
        largest = max(logits)
        shifted = [z - largest for z in logits]
        exponentials = [math.exp(z) for z in shifted]
        total = sum(exponentials)
        return math.log(total) - sum(e * z for e, z in zip(exponentials, shifted)) / total


ENTROPY = Entropy()


def entropy_of_one(logits) -> float:
    """The entropy of one sample's softmax output.

    Args:
        logits: sequence of n_classes floats.

    Returns:
        nats; what `entropy` gives, up to rounding.
    """
    return ENTROPY.score_of_one(0, logits)


@register_measure("max-probability")
class MaxProbability(Measure):
    """``1 - p_max``, in [0, 1 - 1 / n_classes].

    Computed as the sum of the other probabilities, which tells apart samples whose p_max rounds to 1.
    """

    def scores(self, exit_index, logits, earlier=()):
        """1 - p_max, (N,)."""
        return sorted_softmax(logits)[:, :-1].sum(axis=1)

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """1 - p_max of one sample, in plain Python."""
        others = _others(logits)
        return sum(others) / (1.0 + sum(others))


@register_measure("margin")
class Margin(Measure):
    """``1 - (p_1 - p_2)``, the two largest probabilities, in [0, 1].

    Computed as the sum of all but the largest probability, plus the second.
    """

    def scores(self, exit_index, logits, earlier=()):
        """1 - (p_1 - p_2), (N,)."""
        probabilities = sorted_softmax(logits)
        # A slice, so that a single class has a second probability of 0.
        return probabilities[:, :-1].sum(axis=1) + probabilities[:, -2:-1].sum(axis=1)

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """1 - (p_1 - p_2) of one sample, in plain Python."""
        others = _others(logits)
        return (sum(others) + max(others, default=0.0)) / (1.0 + sum(others))


@register_measure("energy")
class Energy(Measure):
    """Free energy ``-tau log sum_c exp(z_c / tau)`` of the logits (Liu et al. 2020, arXiv 2010.03759).

    Any real number: unlike the softmax, it sees how large the logits are, not only how far apart.

    Args:
        tau: temperature > 0.
    """

    lowest = -math.inf
    setting_names = ("tau",)

    def __init__(self, tau=1.0):
        if not 0 < tau < math.inf:
            raise MeasureError(f"energy: expected a temperature tau > 0, got {tau}")
        self.tau = float(tau)

    def scores(self, exit_index, logits, earlier=()):
        """The energy, (N,)."""
        xp = get_array_module(logits)
        largest = logits.max(axis=1)
        total = xp.exp((logits - largest[:, None]) / self.tau).sum(axis=1)
        return -(largest + self.tau * xp.log(total))

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """The energy of one sample, in plain Python."""
        largest, tau = max(logits), self.tau
        return -(largest + tau * math.log(sum([math.exp((z - largest) / tau) for z in logits])))


@register_measure("patience")
class Patience(Measure):
    """``1 / m``, m the number of exits in a row, up to this one, that give this exit's answer; in (0, 1].

    Patience-based early exit (PABEE, Zhou et al. 2020, arXiv 2006.04152) leaves once enough exits in a row agree: m of
    them is the threshold ``Patience.threshold(m)`` at every exit. In PABEE's count, where the first exit is 0, it is a
    patience of m - 1.
    """

    needs_earlier_exits = True

    @staticmethod
    def threshold(n_agreeing) -> float:
        """The T at which a sample leaves if so many exits in a row agree, halfway between the scores on either side.

        Raises:
            MeasureError: the number is below 1.
        """
        if n_agreeing < 1:
            raise MeasureError(f"patience: expected at least 1 exit that agrees, got {n_agreeing}")
        return 1 / (n_agreeing - 0.5)

    def scores(self, exit_index, logits, earlier=()):
        """1 / m, (N,)."""
        xp = get_array_module(logits)
        answers = logits.argmax(axis=1)
        agrees = xp.ones(len(logits), dtype=bool)
        n_agreeing = xp.ones(len(logits), dtype=np.float32)
        for exit_logits in reversed(earlier):
            agrees = agrees & (exit_logits.argmax(axis=1) == answers)
            n_agreeing += agrees
        return 1 / n_agreeing

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """1 / m of one sample, in plain Python."""
        answer, n_agreeing = logits.index(max(logits)), 1
        for exit_logits in reversed(earlier):
            if exit_logits.index(max(exit_logits)) != answer:
                break
            n_agreeing += 1
        return 1 / n_agreeing


def _others(logits):
    """exp(z - z_max) of all classes but the best, whose own is 1."""
    largest = max(logits)
    exponentials = [math.exp(z - largest) for z in logits]
    del exponentials[logits.index(largest)]
    return exponentials

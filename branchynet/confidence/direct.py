"""Measures that need no fitting, besides the entropy."""

import math

import numpy as np
from chainer.backend import get_array_module

from branchynet.confidence.logits import sorted_softmax
from branchynet.confidence.measure import Measure
from branchynet.errors import MeasureError


class MaxProbability(Measure):
    """``1 - p_max``, in [0, 1 - 1 / n_classes].

    Computed as the sum of the other probabilities, which tells samples apart whose p_max rounds to 1.
    """

    name = "max-probability"

    def scores(self, exit_index, logits):
        """1 - p_max, (N,)."""
        return sorted_softmax(logits)[:, :-1].sum(axis=1)

    def score_of_one(self, exit_index, logits) -> float:
        """1 - p_max of one sample, in plain Python."""
        others = _others(logits)
        return sum(others) / (1.0 + sum(others))


class Margin(Measure):
    """``1 - (p_1 - p_2)``, the two largest probabilities, in [0, 1].

    Computed as the sum of all but the largest probability, plus the second.
    """

    name = "margin"

    def scores(self, exit_index, logits):
        """1 - (p_1 - p_2), (N,)."""
        probabilities = sorted_softmax(logits)
        # A slice, so that a single class has a second probability of 0.
        return probabilities[:, :-1].sum(axis=1) + probabilities[:, -2:-1].sum(axis=1)

    def score_of_one(self, exit_index, logits) -> float:
        """1 - (p_1 - p_2) of one sample, in plain Python."""
        others = _others(logits)
        return (sum(others) + max(others, default=0.0)) / (1.0 + sum(others))


def _others(logits):
    """exp(z - z_max) of all classes but the best, whose own is 1."""
    largest = max(logits)
    exponentials = [math.exp(z - largest) for z in logits]
    del exponentials[logits.index(largest)]
    return exponentials


class Energy(Measure):
    """Free energy ``-tau log sum_c exp(z_c / tau)`` of the logits (Liu et al. 2020, arXiv 2010.03759).

    Any real number: unlike the softmax, it sees how large the logits are, not only how far apart.

    Args:
        tau: temperature > 0.
    """

    name = "energy"
    lowest = -math.inf
    setting_names = ("tau",)

    def __init__(self, tau=1.0):
        if not 0 < tau < math.inf:
            raise MeasureError(f"energy: expected a temperature tau > 0, got {tau}")
        self.tau = float(tau)

    def scores(self, exit_index, logits):
        """The energy, (N,)."""
        xp = get_array_module(logits)
        largest = logits.max(axis=1)
        total = xp.exp((logits - largest[:, None]) / self.tau).sum(axis=1)
        return -(largest + self.tau * xp.log(total))

    def score_of_one(self, exit_index, logits) -> float:
        """The energy of one sample, in plain Python."""
        largest, tau = max(logits), self.tau
        return -(largest + tau * math.log(sum([math.exp((z - largest) / tau) for z in logits])))


class Patience(Measure):
    """``1 / m``, in (0, 1]: m exits in a row, the last of them this one, give the same answer.

    Patience-based early exit (PABEE, Zhou et al. 2020, arXiv 2006.04152) leaves once enough exits in a row agree. For
    m of them the threshold is ``Patience.threshold(m)`` at every exit. PABEE counts the first exit as 0, so there this
    is a patience of m - 1.
    """

    name = "patience"
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

    def scores(self, exit_index, logits):
        """1, (N,): one exit alone agrees with itself."""
        return self.scores_after(exit_index, logits, ())

    def scores_after(self, exit_index, logits, earlier):
        """1 / m, (N,)."""
        xp = get_array_module(logits)
        answers = logits.argmax(axis=1)
        agrees = xp.ones(len(logits), dtype=bool)
        n_agreeing = xp.ones(len(logits), dtype=np.float32)
        for exit_logits in reversed(earlier):
            agrees = agrees & (exit_logits.argmax(axis=1) == answers)
            n_agreeing += agrees
        return 1 / n_agreeing

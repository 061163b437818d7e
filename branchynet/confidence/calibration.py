"""Entropy of calibrated probabilities."""

from __future__ import annotations

import math

import numpy as np

from branchynet.confidence.direct import ENTROPY
from branchynet.confidence.fitted import FittedMeasure
from branchynet.confidence.logits import entropy
from branchynet.confidence.measure import register_measure

# An exit that is right on every sample would be calibrated best by a temperature of 0.
LOWEST_TAU, HIGHEST_TAU = 0.05, 20.0


@register_measure("calibrated-entropy")
class CalibratedEntropy(FittedMeasure):
    """Entropy of ``softmax(z / tau)`` in nats, tau fitted to each exit (temperature scaling, arXiv 1706.04599).

    The temperature is the one at which the negative log-likelihood of held-back labels is the least. At one exit it
    leaves the order of the probabilities alone, but not that of the entropies; and it makes one threshold mean the
    same at every exit.

    Attributes:
        tau_: (n_exits,) float64, within [`LOWEST_TAU`, `HIGHEST_TAU`].
    """

    fitted_names = ("tau_",)

    def fit_exit(self, logits, labels, rng):
        """The temperature of an exit: fit on validation samples."""
        return {"tau_": best_temperature(logits, labels)}

    def scores(self, exit_index, logits, earlier=()):
        """The entropy at the exit's temperature, (N,) nats."""
        self.check_exit(exit_index)
        return entropy(logits / float(self.tau_[exit_index]))

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """The entropy of one sample at the exit's temperature, nats, in plain Python."""
        tau = float(self.tau_[exit_index])
        return ENTROPY.score_of_one(exit_index, [z / tau for z in logits])


def negative_log_likelihood(logits, labels, tau=1.0) -> float:
    """Mean of ``-log softmax(z / tau)[label]``, in nats, in double precision.

    Args:
        logits: (N, n_classes), on the host.
        labels: (N,) integers.
        tau: temperature > 0.
    """
    scaled = np.asarray(logits, np.float64) / tau
    largest = scaled.max(axis=1)
    log_totals = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
    return float((log_totals - scaled[np.arange(len(labels)), labels]).mean())


def best_temperature(logits, labels) -> float:
    """The tau with the least negative log-likelihood, which has one minimum, being convex in 1 / tau.

    Arguments are those of `negative_log_likelihood`.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_tau: negative_log_likelihood(logits, labels, math.exp(log_tau)),
        bounds=(math.log(LOWEST_TAU), math.log(HIGHEST_TAU)),
        method="bounded",
    )
    return math.exp(found.x)

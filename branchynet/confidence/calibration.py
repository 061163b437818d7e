"""Entropy of calibrated probabilities."""

import math

import numpy as np

from branchynet.confidence.entropy import entropy
from branchynet.confidence.fitted import FittedMeasure

# An exit that is right on every sample would be calibrated best by a temperature of 0.
LOWEST_TAU, HIGHEST_TAU = 0.05, 20.0


class CalibratedEntropy(FittedMeasure):
    """Entropy of ``softmax(z / tau)`` in nats, tau fitted to each exit (temperature scaling, arXiv 1706.04599).

    tau is the temperature at which held-back labels have the least negative log-likelihood. At one exit it leaves the
    order of the probabilities as it is, but not that of the entropies; and it makes one threshold mean the same at
    every exit.

    Attributes:
        tau_: (n_exits,) float64, within [`LOWEST_TAU`, `HIGHEST_TAU`].
    """

    name = "calibrated-entropy"
    fitted_names = positive_names = ("tau_",)
    fitted_axes = {"tau_": ()}

    def fit_exit(self, logits, labels, rng):
        """The temperature of an exit: fit on validation samples."""
        return {"tau_": best_temperature(logits, labels)}

    def scores(self, exit_index, logits):
        """The entropy at the exit's temperature, (N,) nats."""
        self.check_exit(exit_index)
        return entropy(logits / float(self.tau_[exit_index]))


def negative_log_likelihood(logits, labels, tau=1.0) -> float:
    """Mean of ``-log softmax(z / tau)[label]``, in nats, in double precision.

    Args:
        logits: (N, n_classes) float, on the host.
        labels: (N,) integers.
        tau: temperature > 0.
    """
    scaled = np.asarray(logits, np.float64) / tau
    largest = scaled.max(axis=1)
    log_totals = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
    return float((log_totals - scaled[np.arange(len(labels)), labels]).mean())


def best_temperature(logits, labels) -> float:
    """The tau with the least negative log-likelihood. That is convex in 1 / tau, so it has one minimum.

    Args:
        logits: (N, n_classes) float, on the host.
        labels: (N,) integers.
    """
    from scipy.optimize import minimize_scalar

    bounds = math.log(LOWEST_TAU), math.log(HIGHEST_TAU)
    found = minimize_scalar(
        lambda log_tau: negative_log_likelihood(logits, labels, math.exp(log_tau)), bounds=bounds, method="bounded"
    )
    return math.exp(found.x)

"""OpenMax: a class that knows what it does not know."""

import math

import numpy as np
from chainer.backend import get_array_module

from branchynet.confidence.fitted import FittedMeasure
from branchynet.confidence.logits import shifted_exponentials
from branchynet.errors import MeasureError

# exp of more than this is infinite in double precision.
_LARGEST_EXPONENT = 700.0


class OpenMax(FittedMeasure):
    """``1 -`` the largest probability of a known class, once there is an unknown one (arXiv 1511.06233); in [0, 1].

    After Bendale and Boult, algorithms 1 and 2, with the logits as activation vector. For every class and exit it keeps
    the mean logits of the samples that the exit answers right, and a Weibull distribution of the `eta` largest
    distances to that mean. The best `alpha` classes of a sample are then shrunk. The i-th best class, at distance d
    from its mean, keeps ``omega = 1 - (alpha - i + 1) / alpha * CDF(d)`` of its score. What is taken away becomes the
    score of the unknown class, and the softmax goes over n_classes + 1.

    What the paper leaves open:
    - Shrinking raises a score that is negative. So the scores of a sample are its logits less the smallest of them: all
      are >= 0, and no softmax over the known classes changes.
    - The Weibull distribution starts at distance 0, which does not depend on the scale of the logits (libMR moves the
      distances to start at 1). A class with fewer than two different distances is never shrunk.

    Fit on training samples, as the paper does, or on validation samples.

    Args:
        alpha: number of classes that are shrunk; all, where a network has fewer.
        eta: number of the largest distances that the tail is fitted to.

    Attributes:
        mean_: (n_exits, n_classes, n_classes) float64, mean logits of each class.
        shape_, scale_: (n_exits, n_classes) float64, of each class's Weibull distribution.
    """

    name = "openmax"
    setting_names = ("alpha", "eta")
    fitted_names = ("mean_", "shape_", "scale_")
    fitted_axes = {
        "mean_": ("n_classes", "n_classes"),
        "shape_": ("n_classes",),
        "scale_": ("n_classes",),
    }
    positive_names, infinite_names = ("shape_", "scale_"), ("scale_",)
    fits_on = "training"

    def __init__(self, alpha=3, eta=20):
        if not (alpha >= 1 and eta >= 2):
            raise MeasureError(f"openmax: expected alpha >= 1 and eta >= 2, got {alpha} and {eta}")
        self.alpha, self.eta = int(alpha), int(eta)

    def fit_exit(self, logits, labels, rng):
        """Mean logits and tail distribution of each class at an exit."""
        logits = logits.astype(np.float64)
        n_classes = logits.shape[1]
        right = logits.argmax(axis=1) == labels
        means, tails = np.zeros((n_classes, n_classes)), []
        for label in range(n_classes):
            own = logits[right & (labels == label)]
            if len(own):
                means[label] = own.mean(axis=0)
            tails.append(fit_weibull(np.sort(np.linalg.norm(own - means[label], axis=1))[-self.eta :]))
        shapes, scales = np.array(tails).T
        return {"mean_": means, "shape_": shapes, "scale_": scales}

    def revise(self, exit_index, logits):
        """The scores after shrinking: known classes (N, n_classes), and the unknown class (N,), both float64 >= 0.

        Before shrinking, the known ones are the logits (N, n_classes) less the smallest of each sample. The unknown one
        is the sum of what they lose. `exit_index` is 0 for the first exit.
        """
        xp = get_array_module(logits)
        fitted = self.fitted_at(exit_index, logits)
        logits = logits.astype(np.float64)
        n_shrunk = min(self.alpha, logits.shape[1])
        best = xp.argsort(-logits, axis=1, kind="stable")[:, :n_shrunk]
        distances = xp.sqrt(((logits[:, None, :] - fitted["mean_"][best]) ** 2).sum(axis=2))  # (N, n_shrunk)
        weights = xp.arange(n_shrunk, 0, -1) / n_shrunk  # 1 for the best class, 1 / alpha for the last one
        known, rows = logits - logits.min(axis=1, keepdims=True), xp.arange(len(logits))[:, None]
        cdf = weibull_cdf(distances, fitted["shape_"][best], fitted["scale_"][best])
        lost = known[rows, best] * weights * cdf
        known[rows, best] -= lost
        return known, lost.sum(axis=1)

    def scores(self, exit_index, logits):
        """1 - the largest probability of a known class, (N,), as the sum of all others."""
        xp = get_array_module(logits)
        known, unknown = self.revise(exit_index, logits)
        best = known.argmax(axis=1)
        exponentials, total, _ = shifted_exponentials(xp.concatenate((known, unknown[:, None]), axis=1))
        exponentials[xp.arange(len(best)), best] = 0
        return (exponentials.sum(axis=1) / total[:, 0]).astype(np.float32)

    def refuses(self, exit_index, logits):
        """The samples whose most probable class is the unknown one."""
        known, unknown = self.revise(exit_index, logits)
        return unknown > known.max(axis=1)


def weibull_cdf(distances, shapes, scales):
    """``1 - exp(-(d / scale)^shape)``, which is 0 where the scale is infinite.

    Distances >= 0, shapes > 0 and scales > 0 are float64 arrays of one shape, NumPy or CuPy.
    """
    xp = get_array_module(distances)
    ratios = distances / scales
    exponents = shapes * xp.log(xp.where(ratios > 0, ratios, 1))
    return xp.where(ratios > 0, -xp.expm1(-xp.exp(xp.minimum(exponents, _LARGEST_EXPONENT))), 0)


def fit_weibull(distances):
    """(shape, scale) of the Weibull distribution, starting at 0, under which distances (n,) float64 >= 0 are likeliest.

    Its shape k is the root of ``sum(d^k log d) / sum(d^k) - 1/k - mean(log d)``, which rises with k. Of fewer than two
    different distances it is (1, infinity), under which no distance is far.
    """
    from scipy.optimize import brentq

    distances = distances[distances > 0]
    if len(distances) < 2 or distances.max() - distances.min() < 1e-9 * distances.max():
        return 1.0, math.inf
    largest = distances.max()
    logs = np.log(distances / largest)

    def slope(shape):
        powers = np.exp(shape * logs)
        return (powers * logs).sum() / powers.sum() - 1 / shape - logs.mean()

    highest = 1.0
    while slope(highest) < 0:
        highest *= 2
    shape = brentq(slope, 1e-6, highest)
    return shape, largest * np.exp(shape * logs).mean() ** (1 / shape)

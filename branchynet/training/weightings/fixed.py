"""Weightings that follow a fixed rule: by confidence, self-distillation, gradient equilibrium. Nothing is learned."""

import math

import chainer.functions as F

from branchynet.confidence import entropy
from branchynet.errors import TrainingError
from branchynet.functions import scale_gradient
from branchynet.training.weightings.protocol import Weighting


class ConfidenceWeighting(Weighting):
    """The cross-entropies of the samples, weighted by `confidence_weights`: sure samples weigh more at early exits.

    In inference the sure samples leave early and the others late; training each exit most on the samples that it will
    answer closes that gap (the paper's future work; the aim of Han et al., ECCV 2022, arXiv 2209.08310, without
    anything learned).

    Args:
        net: a `BranchyNet`.
        strength: in [0, 1): before the division by the mean, weights are in [1 - strength, 1 + strength].
    """

    def __init__(self, net, strength=0.5):
        super().__init__(net)
        if not 0 <= strength < 1:
            raise TrainingError(f"strength: expected a number in [0, 1), got {strength}")
        self.strength = strength

    def losses(self, exits):
        """See `Weighting.losses`."""
        return [
            out.weighted_loss(confidence_weights(out.logits.array, out.number, len(exits), self.strength))
            for out in exits
        ]


def confidence_weights(logits, number, n_exits, strength=0.5):
    """Weights of the samples at one exit, from their confidence there now; no gradient flows through them.

    With c = 1 - entropy / ln(n_classes), the confidence in [0, 1], and r = (number - 1) / (n_exits - 1), which is 0 at
    the first exit and 1 at the last: ``1 + strength * (1 - 2 r) * (2 c - 1)``, divided by its mean. Half way (r = 1/2)
    all weigh alike, and so they do in a network of one exit.

    Args:
        logits: (n, n_classes) float array.
        number: of the exit, 1 for the first.
        n_exits: exits of the network.
        strength: in [0, 1); 0 weighs all alike.

    Returns:
        (n,) of the same dtype, > 0, with mean 1.
    """
    confidence = 1 - entropy(logits) / math.log(logits.shape[1])
    place = (number - 1) / (n_exits - 1) if n_exits > 1 else 0.5
    weights = 1 + strength * (1 - 2 * place) * (2 * confidence - 1)
    return weights / weights.mean()


class Distillation(Weighting):
    """``(1 - a) * cross-entropy + a * tau^2 * KL(last exit || this exit)`` at early exits, cross-entropy at the last.

    The early exits learn from the last one (Zhang et al., arXiv 1905.08094). KL compares the softmax of the logits
    divided by tau; tau^2 keeps the size of its gradient (Hinton et al., arXiv 1503.02531). No gradient flows into the
    last exit through it. The paper's third term, on features, is left out: it needs layers that adapt their shapes.

    Args:
        net: a `BranchyNet`.
        a: share in [0, 1] of the last exit's word; 0 is the plain loss.
        tau: temperature > 0.
    """

    needs_all_samples = True

    def __init__(self, net, a=0.5, tau=3.0):
        super().__init__(net)
        if not 0 <= a <= 1:
            raise TrainingError(f"a: expected a share in [0, 1], got {a}")
        if not tau > 0:
            raise TrainingError(f"tau: expected a temperature > 0, got {tau}")
        self.a, self.tau = a, tau

    def losses(self, exits):
        """See `Weighting.losses`."""
        *early, last = exits
        teacher = F.log_softmax(last.logits.array / self.tau).array
        return [self._loss(exit_output, teacher) for exit_output in early] + [last.cross_entropy]

    def _loss(self, exit_output, teacher):
        student = F.log_softmax(exit_output.logits / self.tau)
        xp = exit_output.logits.xp
        divergence = F.sum(xp.exp(teacher) * (teacher - student)) / len(teacher)
        return (1 - self.a) * exit_output.cross_entropy + self.a * self.tau**2 * divergence


class GradientEquilibrium(Weighting):
    """The gradient of stage i of the trunk is divided by K - i + 1, the number of exits whose gradients it adds up.

    So early stages, through which all exits send their gradients, do not get larger ones than late stages (Li et al.,
    "Improved techniques for training adaptive deep networks", arXiv 1908.06294). Losses, and the gradients of the
    branches themselves, are the paper's. With a frozen trunk there is nothing to divide.

    At exit point n both ways back are divided by K - n + 1; the gradient from further up, which was divided by K - n
    at the next exit point, is multiplied by K - n first, so that the factors do not pile up.

    Args:
        net: a `BranchyNet` with K exits.
    """

    def at_exit_point(self, h, number):
        """See `Weighting.at_exit_point`."""
        n_after = self.net.n_exits - number
        h = scale_gradient(h, 1 / (n_after + 1))
        return h, scale_gradient(h, n_after)

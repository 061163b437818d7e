"""Sure samples weigh more at early exits, unsure ones at late exits.

In inference the sure samples leave early and the others late; training each exit most on the samples that it will
answer closes that gap (the paper's future work; the aim of Han et al., ECCV 2022, arXiv 2209.08310, without anything
learned).
"""

from __future__ import annotations

import math

from branchynet.confidence import entropy
from branchynet.errors import TrainingError
from branchynet.training.weightings.protocol import Weighting, register_weighting


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


@register_weighting("confidence")
class ConfidenceWeighting(Weighting):
    """The cross-entropies of the samples, weighted by `confidence_weights`.

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
        n_exits = len(exits)
        return [
            out.weighted_loss(confidence_weights(out.logits.array, out.number, n_exits, self.strength)) for out in exits
        ]

"""The paper's measure of confidence: the entropy of the softmax output (section III-C)."""

import math

from chainer.backend import get_array_module

from branchynet.confidence.logits import shifted_exponentials
from branchynet.confidence.measure import Measure


def entropy(logits):
    """Entropy of the softmax output, ``-sum_c y_c log y_c`` with ``0 log 0 = 0`` (paper, section III-C).

    Computed from the logits as ``log(sum exp z) - sum_c y_c z_c``. This takes no logarithm of a probability that is
    rounded to zero, and is never negative.

    Args:
        logits: (N, n_classes) float array.

    Returns:
        (N,) of the same dtype, nats, in [0, ln n_classes] up to rounding.
    """
    xp = get_array_module(logits)
    exponentials, total, shifted = shifted_exponentials(logits)
    return xp.log(total[:, 0]) - (exponentials * shifted).sum(axis=1) / total[:, 0]


class Entropy(Measure):
    """Entropy of the softmax output in nats, in [0, ln n_classes] (paper, section III-C). The default."""

    name = "entropy"

    def scores(self, exit_index, logits):
        """`entropy` of the logits, (N,) nats."""
        return entropy(logits)

    def score_of_one(self, exit_index, logits) -> float:
        """The entropy of one sample's softmax output, nats, in plain Python."""
        largest = max(logits)
        shifted = [z - largest for z in logits]
        exponentials = [math.exp(z) for z in shifted]
        total = sum(exponentials)
        return math.log(total) - sum(e * z for e, z in zip(exponentials, shifted)) / total


ENTROPY = Entropy()

"""What is computed from logits alone: arrays in, arrays out, on NumPy and CuPy alike."""

from __future__ import annotations

from chainer.backend import get_array_module


def softmax(logits):
    """Probabilities from logits.

    Args:
        logits: (N, n_classes) float array.

    Returns:
        (N, n_classes) of the same dtype, each row in [0, 1] with sum 1.
    """
    exponentials, total, _ = shifted_exponentials(logits)
    return exponentials / total


def entropy(logits):
    """Entropy of the softmax output, ``-sum_c y_c log y_c`` with ``0 log 0 = 0`` (paper, section III-C).

    Computed from the logits as ``log(sum exp z) - sum_c y_c z_c``, which takes no logarithm of a probability that has
    underflowed to zero, and is never negative.

    Args:
        logits: (N, n_classes) float array.

    Returns:
        (N,) of the same dtype, nats, in [0, ln n_classes] up to rounding.
    """
    xp = get_array_module(logits)
    exponentials, total, shifted = shifted_exponentials(logits)
    return xp.log(total[:, 0]) - (exponentials * shifted).sum(axis=1) / total[:, 0]


def shifted_exponentials(logits):
    """exp(z - max z), its sum over the classes (N, 1), and z - max z: the safe way to a softmax."""
    xp = get_array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = xp.exp(shifted)
    return exponentials, exponentials.sum(axis=1, keepdims=True), shifted


def sorted_softmax(logits):
    """Probabilities from logits, the smallest first.

    Args:
        logits: (N, n_classes) float array.

    Returns:
        (N, n_classes) of the same dtype.
    """
    return get_array_module(logits).sort(softmax(logits), axis=1)

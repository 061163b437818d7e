"""What is computed from logits alone: arrays in, arrays out, on NumPy and CuPy alike."""

from chainer.backend import get_array_module


def shifted_exponentials(logits):
    """exp(z - max z) of logits (N, n_classes), its sum over the classes (N, 1), and z - max z. None can be infinite,
    unless two logits are further apart than the largest float."""
    xp = get_array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = xp.exp(shifted)
    return exponentials, exponentials.sum(axis=1, keepdims=True), shifted


def softmax(logits):
    """Probabilities: logits (N, n_classes) float -> the same shape and dtype, each row in [0, 1] with sum 1."""
    exponentials, total, _ = shifted_exponentials(logits)
    return exponentials / total


def sorted_softmax(logits):
    """`softmax`, in each row the smallest probability first."""
    return get_array_module(logits).sort(softmax(logits), axis=1)

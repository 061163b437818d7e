"""The identity, with a gradient that is scaled on its way back."""

import chainer
from chainer.utils import type_check


def scale_gradient(x, factor):
    """Returns x unchanged; the gradient on its way back is multiplied by a factor.

    Args:
        x: float Variable or array of any shape.
        factor: number.

    Returns:
        Variable with the numbers of x.
    """
    return _ScaleGradient(factor).apply((x,))[0]


class _ScaleGradient(chainer.FunctionNode):
    def __init__(self, factor):
        super().__init__()
        self.factor = float(factor)

    def check_type_forward(self, in_types):
        type_check.expect(in_types.size() == 1, in_types[0].dtype.kind == "f")

    def forward(self, inputs):
        return inputs

    def backward(self, indexes, grad_outputs):
        return (self.factor * grad_outputs[0],)

"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3) by `normalisation.c`."""

import ctypes

import chainer
import numpy as np
from chainer.utils import type_check

from branchynet.functions.kernels import call_strips, computes_here


def local_response_normalization(x, n=5, k=2, alpha=1e-4, beta=0.75):
    """``y_c = x_c / (k + alpha * sum of x ** 2 over the n channels around c) ** beta``, as Chainer's function.

    Args:
        x: (N, C, ...) float Variable or array.
        n: channels in the sum, odd; an even number counts as the next one, as in Chainer.
        k, alpha, beta: constants.

    Returns:
        Variable of the shape and dtype of x.

    Raises:
        ValueError: n is less than 1.
    """
    if n < 1:
        raise ValueError(f"local response normalisation: expected n >= 1 channels, got {n}")
    if not computes_here(x):
        return chainer.functions.local_response_normalization(x, int(n), float(k), float(alpha), float(beta))
    size = x.size // max(1, len(x) * x.shape[1])
    return _LocalResponseNormalization(_Constants(x.shape[1], size, int(n) // 2 * 2 + 1, k, alpha, beta)).apply((x,))[0]


class _Constants(ctypes.Structure):
    """`struct normalisation` of normalisation.c."""

    _fields_ = [
        *[(name, ctypes.c_int32) for name in ("channels", "size", "n")],
        *[(name, ctypes.c_float) for name in ("k", "alpha", "beta")],
    ]


class _LocalResponseNormalization(chainer.FunctionNode):
    def __init__(self, constants):
        super().__init__()
        self.constants = constants

    def check_type_forward(self, in_types):
        type_check.expect(in_types.size() == 1, in_types[0].dtype.kind == "f", in_types[0].ndim >= 2)

    def forward(self, inputs):
        self.retain_inputs((0,))
        return (_normalise(self.constants, inputs[0]),)

    def backward(self, indexes, grad_outputs):
        (x,) = self.get_retained_inputs()
        return _Gradient(self.constants).apply((x, grad_outputs[0]))


class _Gradient(chainer.FunctionNode):
    """x, gy -> gx."""

    def __init__(self, constants):
        super().__init__()
        self.constants = constants

    def forward(self, inputs):
        return (_normalise(self.constants, *inputs),)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError("this normalisation has no second derivative here; use Chainer's own function")


def _normalise(constants, x, gy=None):
    """x (N, C, ...) -> y, or, with gy, -> gx."""
    x, gy = np.ascontiguousarray(x), None if gy is None else np.ascontiguousarray(gy)
    out = np.empty_like(x)
    call_strips("local_response", len(x), constants, x, gy, out)
    return out

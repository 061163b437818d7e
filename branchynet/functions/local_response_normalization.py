"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), fast on the CPU.

The sums are Chainer's, taken for a few samples at a time, which stay in the cache; x ** -0.75, the power that AlexNet
uses, is computed by two square roots. Results are float32 for float32 input whatever the type of the constants.
"""

from __future__ import annotations

import chainer
import numpy as np
from chainer.utils import type_check

from branchynet.functions.choice import computes_here
from branchynet.machine.memory import chunks
from branchynet.machine.threads import map_strips

# What counts as a chunk's memory, in sizes of its input. More is used, but on smaller chunks NumPy's calls are so short
# that threads wait for the interpreter lock.
_ARRAYS = 2


def local_response_normalization(x, n=5, k=2, alpha=1e-4, beta=0.75):
    """``y_c = x_c / (k + alpha * sum of x ** 2 over the n channels around c) ** beta``, as Chainer's function.

    Args:
        x: (N, C, H, W) float Variable or array.
        n: channels in the sum, odd.
        k, alpha, beta: constants.

    Returns:
        Variable of the shape and dtype of x.
    """
    if not computes_here(x):
        return chainer.functions.local_response_normalization(x, n, k, alpha, beta)
    return _LocalResponseNormalization(int(n), float(k), float(alpha), float(beta)).apply((x,))[0]


class _LocalResponseNormalization(chainer.FunctionNode):
    def __init__(self, n, k, alpha, beta):
        super().__init__()
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta

    def check_type_forward(self, in_types):
        type_check.expect(in_types.size() == 1, in_types[0].dtype.kind == "f", in_types[0].ndim >= 2)

    def forward(self, inputs):
        (x,) = inputs
        self.retain_inputs((0,))
        y = np.empty_like(x)

        def normalise(start, stop):
            for chunk in chunks(start, stop, _ARRAYS * x[:1].nbytes):
                np.multiply(x[chunk], self._scale(self._base(x[chunk])), out=y[chunk])

        map_strips(normalise, len(x))
        return (y,)

    def backward(self, indexes, grad_outputs):
        (x,) = self.get_retained_inputs()
        return _Gradient(self).apply((x, grad_outputs[0]))

    def _base(self, x):
        """k + alpha * (sum of squares), of a chunk of samples (n, C, ...)."""
        base = _sum_over_neighbours(np.square(x), self.n)
        base *= self.alpha
        base += self.k
        return base

    def _scale(self, base):
        """base ** -beta."""
        if self.beta != 0.75:
            return base**-self.beta
        root = np.sqrt(base)
        scale = np.sqrt(root)
        scale *= root
        return np.reciprocal(scale, out=scale)


class _Gradient(chainer.FunctionNode):
    """x, gy -> gx."""

    def __init__(self, normalisation):
        super().__init__()
        self.normalisation = normalisation

    def forward(self, inputs):
        x, gy = inputs
        gx = np.empty_like(x)
        constants = self.normalisation
        factor = 2 * constants.alpha * constants.beta

        def differentiate(start, stop):
            for chunk in chunks(start, stop, _ARRAYS * x[:1].nbytes):
                base = constants._base(x[chunk])
                out = gy[chunk] * constants._scale(base)  # gy / base ** beta
                np.divide(out, base, out=base)
                base *= x[chunk]
                neighbours = _sum_over_neighbours(base, constants.n)
                neighbours *= x[chunk]
                neighbours *= factor
                np.subtract(out, neighbours, out=gx[chunk])

        map_strips(differentiate, len(x))
        return (gx,)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError("this normalisation has no second derivative here; use Chainer's own function")


def _sum_over_neighbours(x, n):
    """Sum over the n channels around each channel: (n, C, ...) -> (n, C, ...)."""
    total = x.copy()
    for distance in range(1, n // 2 + 1):
        total[:, distance:] += x[:, :-distance]
        total[:, :-distance] += x[:, distance:]
    return total

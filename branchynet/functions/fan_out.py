"""One result for two functions, whose gradients are added up by the kernels' threads."""

import chainer
import numpy as np

from branchynet.functions.kernels import call_strips, computes_here


def fan_out(x) -> tuple:
    """x twice: for two functions that both compute with it, such as a residual block and its shortcut.

    Without it Chainer adds up the gradients of both, to the same numbers, in one thread.

    Args:
        x: (N, ...) float Variable or array.

    Returns:
        two Variables with the numbers of x; x itself twice where no gradients are wanted or Chainer's own functions
        compute.
    """
    return _FanOut().apply((x,)) if chainer.config.enable_backprop and computes_here(x) else (x, x)


class _FanOut(chainer.FunctionNode):
    def forward(self, inputs):
        return inputs * 2

    def backward(self, indexes, grad_outputs):
        there = [gradient for gradient in grad_outputs if gradient is not None]
        return _Sum().apply(there) if len(there) == 2 else there


class _Sum(chainer.FunctionNode):
    def forward(self, inputs):
        a, b = map(np.ascontiguousarray, inputs)
        total = np.empty_like(a)
        call_strips("add", len(a), a.size // max(1, len(a)), a, b, total)
        return (total,)

    def backward(self, indexes, grad_outputs):
        return grad_outputs * 2

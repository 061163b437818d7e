"""The shortcut of a residual block that halves the image: no parameters (He et al., arXiv 1512.03385, option A)."""

import chainer
from chainer.backend import get_array_module


def thinned(x, stride, added_channels):
    """Every stride-th row and column of x (N, C, H, W), with channels of zeros behind: (N, C + added, ...).

    In one step; Chainer's slices and `concat` take several times as long, their gradients above all.
    """
    return _Thinned(stride, added_channels).apply((x,))[0]


class _Thinned(chainer.FunctionNode):
    def __init__(self, stride, added_channels):
        super().__init__()
        self.step, self.added_channels = slice(None, None, stride), added_channels

    def forward(self, inputs):
        (x,) = inputs
        kept = x[:, :, self.step, self.step]
        self.shape = x.shape
        y = get_array_module(x).zeros((len(x), x.shape[1] + self.added_channels, *kept.shape[2:]), x.dtype)
        y[:, : x.shape[1]] = kept
        return (y,)

    def backward(self, indexes, grad_outputs):
        return _ThinnedGradient(self).apply(grad_outputs)


class _ThinnedGradient(chainer.FunctionNode):
    def __init__(self, forward):
        super().__init__()
        self.thinned = forward

    def forward(self, inputs):
        (gy,) = inputs
        gx = get_array_module(gy).zeros(self.thinned.shape, gy.dtype)
        gx[:, :, self.thinned.step, self.thinned.step] = gy[:, : gx.shape[1]]
        return (gx,)

    def backward(self, indexes, grad_outputs):
        return (thinned(grad_outputs[0], self.thinned.step.step, self.thinned.added_channels),)

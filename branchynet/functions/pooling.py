"""Max and average pooling by the kernels of `pooling.c`."""

import chainer
import numpy as np
from chainer.utils import conv, type_check

from branchynet.functions.kernels import call_strips, computes_here
from branchynet.functions.windows import Windows, pair


def max_pooling_2d(x, ksize, stride=None, pad=0, cover_all=True, relu=False):
    """Max pooling, as `chainer.functions.max_pooling_2d`, and ReLU after it if asked for.

    Of equal maxima in a window the first, in the order of rows, takes the gradient, as in Chainer. A window that
    holds a NaN gives NaN.

    Args:
        x: (N, C, H, W) float Variable or array.
        ksize, stride, pad: int or pair (vertical, horizontal); the stride is that of ksize by default.
        cover_all: also the windows that reach beyond the border.
        relu: whether negative maxima become 0.

    Returns:
        Variable (N, C, out_h, out_w).

    Raises:
        ValueError: no window fits, or a setting is none.
    """
    windows = _windows(x, ksize, stride, pad, cover_all)
    if not computes_here(x):
        y = chainer.functions.max_pooling_2d(x, ksize, stride, pad, cover_all)
        return chainer.functions.relu(y) if relu else y
    return _MaxPooling2D(windows, relu).apply((x,))[0]


def average_pooling_2d(x, ksize, stride=None, pad=0):
    """Average pooling, as `chainer.functions.average_pooling_2d`: numbers of the padding, zeros, count.

    Arguments, result and errors are those of `max_pooling_2d`.
    """
    windows = _windows(x, ksize, stride, pad, cover_all=False)
    if not computes_here(x):
        return chainer.functions.average_pooling_2d(x, ksize, stride, pad)
    return _AveragePooling2D(windows).apply((x,))[0]


def _windows(x, ksize, stride, pad, cover_all):
    ksize, stride, pad = pair(ksize), pair(ksize if stride is None else stride), pair(pad)
    if min(*ksize, *stride) < 1 or min(pad) < 0:
        raise ValueError(f"pooling: expected windows and strides >= 1 and padding >= 0, got {ksize}, {stride}, {pad}")
    axes = list(zip(x.shape[2:], ksize, stride, pad))
    out_size = [conv.get_conv_outsize(*axis, cover_all) for axis in axes]
    for n_out, (size, width, _, around) in zip(out_size, axes):
        if n_out <= 0:
            raise ValueError(f"pooling: no window of {width} fits an image of {size} with padding {around}")
    return Windows(*x.shape[1:], *ksize, *stride, *pad, *out_size)


class _Pooling(chainer.FunctionNode):
    """A function of windows that has a first derivative only."""

    def __init__(self, windows):
        super().__init__()
        self.windows, self.indices = windows, None

    def check_type_forward(self, in_types):
        type_check.expect(in_types[0].dtype.kind == "f", in_types[0].ndim == 4)

    def empty_outputs(self, x, dtype=np.float32):
        return np.empty((*x.shape[:2], self.windows.out_h, self.windows.out_w), dtype)

    def backward(self, indexes, grad_outputs):
        return _Gradient(self.windows, self.indices).apply(grad_outputs)


class _MaxPooling2D(_Pooling):
    def __init__(self, windows, relu):
        super().__init__(windows)
        self.relu = relu

    def forward(self, inputs):
        x = np.ascontiguousarray(inputs[0])
        y, self.indices = self.empty_outputs(x), self.empty_outputs(x, np.int32)
        call_strips("max_pooling", len(x), self.windows, x, int(self.relu), y, self.indices)
        return (y,)


class _AveragePooling2D(_Pooling):
    def forward(self, inputs):
        x = np.ascontiguousarray(inputs[0])
        y = self.empty_outputs(x)
        call_strips("average_pooling", len(x), self.windows, x, y)
        return (y,)


class _Gradient(_Pooling):
    """gy -> gx; indices: of the number in each window that takes the gradient; None for all, with equal shares."""

    def __init__(self, windows, indices):
        super().__init__(windows)
        self.indices = indices

    def forward(self, inputs):
        gy = np.ascontiguousarray(inputs[0])
        gx = np.empty((*gy.shape[:2], self.windows.height, self.windows.width), gy.dtype)
        call_strips("pooling_gradient", len(gy), self.windows, gy, self.indices, gx)
        return (gx,)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError("pooling on the CPU has no second derivative here; use Chainer's own function")

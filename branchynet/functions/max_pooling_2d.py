"""Max pooling, fast on the CPU.

Chainer copies all windows and takes argmax along them. Here the maximum is taken offset by offset, over all windows
of a chunk of samples at once, and the gradient finds the maximum again by comparing. The chunks are three times as
large as the cache would like: on smaller ones NumPy's calls are so short that threads wait for the interpreter lock.
"""

from __future__ import annotations

import chainer
import numpy as np
from chainer.utils import conv, type_check

from branchynet.functions._planes import planes_for
from branchynet.functions.choice import computes_here
from branchynet.machine.memory import chunks, scratch
from branchynet.machine.threads import map_strips


def max_pooling_2d(x, ksize, stride=None, pad=0, cover_all=True):
    """Max pooling, as `chainer.functions.max_pooling_2d`.

    Of equal maxima in a window the first, in the order of rows, takes the gradient, as in Chainer. A window that
    holds a NaN gives NaN; it has no gradient, while Chainer's goes to the NaN.

    Args:
        x: (N, C, H, W) float Variable or array.
        ksize, stride, pad: int or pair (vertical, horizontal); the stride is that of ksize by default.
        cover_all: also the windows that reach beyond the border.

    Returns:
        Variable (N, C, out_h, out_w).
    """
    if not computes_here(x):
        return chainer.functions.max_pooling_2d(x, ksize, stride, pad, cover_all)
    return _MaxPooling2D(_pair(ksize), _pair(ksize if stride is None else stride), _pair(pad), cover_all).apply((x,))[0]


class _MaxPooling2D(chainer.FunctionNode):
    def __init__(self, ksize, stride, pad, cover_all):
        super().__init__()
        self.ksize, self.stride, self.pad = ksize, stride, pad
        self.cover_all = cover_all

    def check_type_forward(self, in_types):
        type_check.expect(in_types.size() == 1, in_types[0].dtype.kind == "f", in_types[0].ndim == 4)

    def forward(self, inputs):
        (x,) = inputs
        self.retain_inputs((0,))
        self.retain_outputs((0,))
        planes = self.planes(x)
        y = np.empty((*x.shape[:2], *planes.out_size), dtype=x.dtype)

        def pool(start, stop):
            for chunk in chunks(start, stop, planes.sample_bytes):
                n_samples = chunk.stop - chunk.start
                (first, _), *others = planes.windows(planes.split(x[chunk]), n_samples)
                top = scratch("maxima", first.shape, x.dtype)
                top[...] = first
                for numbers, _ in others:
                    np.maximum(top, numbers, out=top)
                planes.write_result(top, y[chunk])

        map_strips(pool, len(x))
        return (y,)

    def backward(self, indexes, grad_outputs):
        (x,), (y,) = self.get_retained_inputs(), self.get_retained_outputs()
        return _Unpool(self).apply((x, y, grad_outputs[0]))

    def planes(self, x):
        """The `Planes` of a batch for these windows."""
        axes = list(zip(x.shape[2:], self.ksize, self.stride, self.pad))
        out_size = tuple(conv.get_conv_outsize(*axis, self.cover_all) for axis in axes)
        for n_out, (size, ksize, _, pad) in zip(out_size, axes):
            if n_out <= 0:
                raise ValueError(f"max pooling: no window of {ksize} fits an image of {size} with padding {pad}")
        return planes_for(x.shape[1:], out_size, self.ksize, self.stride, self.pad, x.dtype)


class _Unpool(chainer.FunctionNode):
    """The gradient of max pooling, x, y, gy -> gx: each gy goes to where its maximum came from."""

    def __init__(self, pooling):
        super().__init__()
        self.pooling = pooling

    def forward(self, inputs):
        x, y, gy = inputs
        planes = self.pooling.planes(x)
        gx = np.empty(x.shape, dtype=x.dtype)

        def unpool(start, stop):
            for chunk in chunks(start, stop, planes.sample_bytes):
                gx_planes = planes.gradient_buffer(chunk.stop - chunk.start)
                _pass_back(planes, planes.split(x[chunk]), y[chunk], gy[chunk], gx_planes)
                planes.join(gx_planes, gx[chunk])

        map_strips(unpool, len(x))
        return (gx,)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError("max pooling on the CPU has no second derivative here; use Chainer's own function")


def _pass_back(planes, x_planes, y, gy, gx_planes):
    """Passes every gy to the first number in its window that equals the maximum y."""
    top, left = planes.spread("maxima", y), planes.spread("left", gy)
    share, here = scratch("share", left.shape, left.dtype), scratch("here", left.shape, bool)
    views = zip(planes.windows(x_planes, len(y)), planes.windows(gx_planes, len(y)))
    for (numbers, _), (gradient, is_first) in views:
        np.equal(numbers, top, out=here)
        target = gradient if is_first else share
        target[...] = here
        target *= left
        left -= target  # a later maximum of the same value gets nothing
        if not is_first:
            gradient += share


def _pair(value):
    return tuple(value) if hasattr(value, "__getitem__") else (value, value)

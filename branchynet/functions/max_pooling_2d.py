"""Max pooling, fast on the CPU.

Chainer copies all windows and takes argmax along them. Here the maximum is taken slice by slice, first down the rows,
then along them, and the gradient finds the maximum again by comparing.
"""

from __future__ import annotations

import chainer
import numpy as np
from chainer.utils import conv, type_check

from branchynet.functions.choice import computes_here
from branchynet.functions.spans import window_spans
from branchynet.threads import chunks, map_strips, scratch


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
        (rows, out_h), (cols, out_w) = (self._spans(size, axis) for axis, size in enumerate(x.shape[2:]))
        y = np.empty((*x.shape[:2], out_h, out_w), dtype=x.dtype)

        def pool(start, stop):
            for chunk in chunks(start, stop, 2 * x[0].nbytes):
                by_rows = scratch("by rows", (chunk.stop - chunk.start, x.shape[1], out_h, x.shape[3]), x.dtype)
                _fold(by_rows, x[chunk], rows, 2)
                _fold(y[chunk], by_rows, cols, 3)

        map_strips(pool, len(x))
        return (y,)

    def backward(self, indexes, grad_outputs):
        (x,), (y,) = self.get_retained_inputs(), self.get_retained_outputs()
        return _Unpool(self).apply((x, y, grad_outputs[0]))

    def _spans(self, size, axis):
        """The spans of the windows along an axis, and the size of the output."""
        ksize, stride, pad = self.ksize[axis], self.stride[axis], self.pad[axis]
        n_out = conv.get_conv_outsize(size, ksize, stride, pad, self.cover_all)
        if n_out <= 0:
            raise ValueError(f"max pooling: no window of {ksize} fits an image of {size} with padding {pad}")
        return window_spans(size, n_out, ksize, stride, pad), n_out


class _Unpool(chainer.FunctionNode):
    """The gradient of max pooling: x, y, gy -> gx, gy going where each maximum came from."""

    def __init__(self, pooling):
        super().__init__()
        self.pooling = pooling

    def forward(self, inputs):
        x, y, gy = inputs
        self.retain_inputs((0, 1))
        gx = np.empty_like(x)
        offsets = self._window_offsets(x.shape)
        # Where no two windows share a number, its gradient is written; elsewhere it is added up.
        disjoint = all(stride >= ksize for stride, ksize in zip(self.pooling.stride, self.pooling.ksize))

        def unpool(start, stop):
            for chunk in chunks(start, stop, 3 * x[0].nbytes):
                shape = (chunk.stop - chunk.start, *gy.shape[1:])
                left, is_max, share = (
                    scratch(name, shape, dtype)
                    for name, dtype in (("left", gy.dtype), ("is max", np.bool_), ("share", gy.dtype))
                )
                left[...] = gy[chunk]
                gx[chunk] = 0
                for outputs, inputs in offsets:
                    target = gx[chunk][inputs] if disjoint else share[outputs]
                    np.equal(x[chunk][inputs], y[chunk][outputs], out=is_max[outputs])
                    np.multiply(is_max[outputs], left[outputs], out=target)
                    left[outputs] -= target  # a later maximum of the same value gets nothing
                    if not disjoint:
                        gx[chunk][inputs] += target

        map_strips(unpool, len(x))
        return (gx,)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError("max pooling on the CPU has no second derivative here; use Chainer's own function")

    def _window_offsets(self, x_shape):
        """Index pairs (into outputs, into inputs) for each place in a window, in the order of rows."""
        (rows, _), (cols, _) = (self.pooling._spans(size, axis) for axis, size in enumerate(x_shape[2:]))
        return [((..., ro, co), (..., ri, ci)) for ro, ri in rows for co, ci in cols]


def _fold(out, x, spans, axis):
    """The maximum of the inputs of each output, along one axis; -inf where an output has no input."""
    before = (slice(None),) * axis
    out[...] = -np.inf
    for outputs, inputs in spans:
        part = out[(*before, outputs)]
        np.maximum(part, x[(*before, inputs)], out=part)


def _pair(value):
    return tuple(value) if hasattr(value, "__getitem__") else (value, value)

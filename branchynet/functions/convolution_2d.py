"""Two-dimensional convolution, fast on the CPU.

Chainer copies the windows of the whole batch (im2col) and multiplies once; the copy is far larger than any cache. Here
the windows of a few samples are copied into a buffer that is used again and again, and multiplied while they are in the
cache; threads share the batch. Both gradients are computed in the same way. What is copied is whole windows
(`_windows`) or one row of each (`_row_windows`), whichever should be faster.
"""

from __future__ import annotations

import functools

import chainer
import numpy as np
from chainer.functions.connection import convolution_2d as chainer_convolution_2d
from chainer.functions.connection import deconvolution_2d as chainer_deconvolution_2d

from branchynet.functions._row_windows import RowWindows
from branchynet.functions._windows import DenseWindows, StridedWindows
from branchynet.functions.choice import computes_here
from branchynet.machine.memory import fits_small_product
from branchynet.machine.threads import map_strips


def convolution_2d(x, W, b=None, stride=1, pad=0, cover_all=False):
    """Two-dimensional convolution, as `chainer.functions.convolution_2d`.

    Args:
        x: (N, C, H, W) float Variable or array.
        W: (O, C, kh, kw) of the same dtype.
        b: (O,) or None.
        stride, pad: int or pair (vertical, horizontal).
        cover_all: also the windows that reach beyond the border.

    Returns:
        Variable (N, O, out_h, out_w).
    """
    if not computes_here(x):
        return chainer.functions.convolution_2d(x, W, b, stride, pad, cover_all)
    function = _Convolution2D(stride, pad, cover_all)
    return function.apply((x, W) if b is None else (x, W, b))[0]


class _Convolution2D(chainer_convolution_2d.Convolution2DFunction):
    """Chainer's function with another way of computing on the CPU; its checks and its GPU path are Chainer's."""

    def _forward_cpu_core(self, x, W, b):
        y = np.empty((len(x), len(W), *self._get_out_size(x.shape, W.shape)), dtype=x.dtype)
        _correlate(x, W, b, (self.sy, self.sx), (self.ph, self.pw), y)
        return (y,)

    def backward(self, indexes, grad_outputs):
        x, W = self.get_retained_inputs()
        (gy,) = grad_outputs
        gradients = []
        if 0 in indexes:
            gx = _GradientOfX((self.sy, self.sx), (self.ph, self.pw), outsize=x.shape[2:])
            gradients.append(gx.apply((gy, W))[0])
        if 1 in indexes:
            gradients.append(_GradientOfW(self, W.shape, W.dtype, W.layout).apply((x, gy))[0])
        if 2 in indexes:
            gradients.append(chainer.functions.sum(gy, axis=(0, 2, 3)))
        return gradients


class _GradientOfX(chainer_deconvolution_2d.Deconvolution2DFunction):
    """The gradient for the input: gy (N, O, out_h, out_w), W (O, C, kh, kw) -> (N, C, H, W)."""

    def _forward_cpu_core(self, gy, W, b):
        kh, kw = W.shape[2:]
        gx = np.empty((len(gy), W.shape[1], self.outh, self.outw), dtype=gy.dtype)
        if (self.sy, self.sx) == (1, 1) and self.ph < kh and self.pw < kw:
            # A convolution of gy at stride 1 with every kernel turned by 180 degrees: much faster than adding up.
            turned = W[:, :, ::-1, ::-1].swapaxes(0, 1)  # (C, O, kh, kw)
            _correlate(gy, turned, None, (1, 1), (kh - 1 - self.ph, kw - 1 - self.pw), gx)
        else:
            self._add_up(gy, W, gx)
        return (gx,)

    def _add_up(self, gy, W, gx):
        """Adds, for every output, its part of the gradient to each number that its window read."""
        stride, pad = (self.sy, self.sx), (self.ph, self.pw)
        kind = DenseWindows if stride == (1, 1) else StridedWindows
        places = _windows(kind, gx.shape[1:], len(W), W.shape[2:], stride, pad, gy.shape[2:])
        kernels = places.kernel_matrix(W).T

        def convolve_back(start, stop):
            for chunk in places.chunks(start, stop, gy.itemsize, places.product_size):
                columns = places.column_buffer(chunk.stop - chunk.start, gy.dtype)
                np.matmul(kernels, places.spread(gy[chunk]), out=columns)
                places.scatter(columns, gx[chunk])

        map_strips(convolve_back, len(gy))


class _GradientOfW(chainer_convolution_2d.Convolution2DGradW):
    """The gradient for the kernels: x (N, C, H, W), gy (N, O, out_h, out_w) -> (O, C, kh, kw)."""

    def _forward_cpu_core(self, x, gy):
        places = _windows_for_gradient(
            x.shape[1:], gy.shape[1], (self.kh, self.kw), (self.sy, self.sx), (self.ph, self.pw), gy.shape[2:]
        )

        def correlate(start, stop):
            parts = places.chunks(start, stop, x.itemsize, places.gradient_size)
            return sum(places.gradient(x[chunk], gy[chunk]) for chunk in parts)

        # The strips are added in their order, so that the result does not depend on the number of threads.
        strips = map_strips(correlate, len(x))
        if not strips:
            return (np.zeros(self.W_shape, self.W_dtype),)
        return (places.kernels(sum(strips)).astype(self.W_dtype, copy=False),)


def _correlate(x, W, b, stride, pad, y):
    """x (N, C, H, W), W (O, C, kh, kw), b (O,) or None -> into y (N, O, out_h, out_w)."""
    places = _windows_for_product(x.shape[1:], len(W), W.shape[2:], stride, pad, y.shape[2:])
    kernels = places.kernel_matrix(W)

    def correlate(start, stop):
        for chunk in places.chunks(start, stop, x.itemsize, places.product_size):
            places.convolve(kernels, x[chunk], b, y[chunk])

    map_strips(correlate, len(x))


@functools.lru_cache(maxsize=256)
def _windows(kind, *description):
    """The windows of one convolution, kept: at batch 1, making them takes about as long as the convolution."""
    return kind(*description)


def _windows_for_product(image_shape, n_out, kernel, stride, pad, out_size):
    """The windows to convolve through: those that move fewer numbers for each place of the output."""
    n_channels, (kh, kw) = image_shape[0], kernel
    if stride != (1, 1):
        kind = StridedWindows
    # By rows, kh products are written and read again to be added up.
    elif n_channels * kw + 2 * kh * n_out <= n_channels * kh * kw:
        kind = RowWindows
    else:
        kind = DenseWindows
    return _windows(kind, image_shape, n_out, kernel, stride, pad, out_size)


def _windows_for_gradient(image_shape, n_out, kernel, stride, pad, out_size):
    """The windows to take the gradient of the kernels through."""
    description = image_shape, n_out, kernel, stride, pad, out_size
    if stride != (1, 1):
        return _windows(StridedWindows, *description)
    # By rows there are kh products, which costs more than it saves unless BLAS has its fast way for small ones.
    rows = _windows(RowWindows, *description)
    return rows if fits_small_product(rows.gradient_size) else _windows(DenseWindows, *description)

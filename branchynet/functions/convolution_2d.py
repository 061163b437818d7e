"""Two-dimensional convolution, fast on the CPU.

Chainer copies the windows of the whole batch (im2col) and multiplies once; the copy is far larger than any cache. Here
a chunk of a few samples is copied into one re-used buffer and multiplied while it is still in the cache, and strips of
the batch are shared out between threads. Forward, and both gradients.
"""

from __future__ import annotations

import chainer
import numpy as np
from chainer.functions.connection import convolution_2d as chainer_convolution_2d
from chainer.functions.connection import deconvolution_2d as chainer_deconvolution_2d

from branchynet.functions._windows import windows
from branchynet.functions.choice import computes_here
from branchynet.threads import chunks, map_strips


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
        out_size = self._get_out_size(x.shape, W.shape)
        places = windows(x.shape, W.shape[2:], (self.sy, self.sx), (self.ph, self.pw), out_size, x.itemsize)
        y = np.empty((len(x), len(W), *out_size), dtype=x.dtype)
        kernels = W.reshape(len(W), -1)  # (O, C * kh * kw)

        def convolve(start, stop):
            for chunk in chunks(start, stop, places.sample_bytes):
                product = places.result_buffer(y[chunk])
                np.matmul(kernels, places.columns(x[chunk]), out=product)
                if b is not None:
                    product += b[:, None]
                places.write_result(product, y[chunk])

        map_strips(convolve, len(x))
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
        n_samples, n_out, *out_size = gy.shape
        x_shape = (n_samples, W.shape[1], self.outh, self.outw)
        places = windows(x_shape, W.shape[2:], (self.sy, self.sx), (self.ph, self.pw), out_size, gy.itemsize)
        gx = np.empty(x_shape, dtype=gy.dtype)
        kernels = W.reshape(n_out, -1).T  # (C * kh * kw, O)

        def convolve_back(start, stop):
            for chunk in chunks(start, stop, places.sample_bytes):
                columns = places.column_buffer(chunk.stop - chunk.start, gy.dtype)
                np.matmul(kernels, places.spread(gy[chunk]), out=columns)
                places.scatter(columns, gx[chunk])

        map_strips(convolve_back, n_samples)
        return (gx,)


class _GradientOfW(chainer_convolution_2d.Convolution2DGradW):
    """The gradient for the kernels: x (N, C, H, W), gy (N, O, out_h, out_w) -> (O, C, kh, kw)."""

    def _forward_cpu_core(self, x, gy):
        n_out, *out_size = gy.shape[1:]
        places = windows(x.shape, (self.kh, self.kw), (self.sy, self.sx), (self.ph, self.pw), out_size, x.itemsize)

        def correlate(start, stop):
            total = np.zeros((places.n_columns, n_out), dtype=self.W_dtype)
            for chunk in chunks(start, stop, places.sample_bytes):
                columns = places.columns(x[chunk])
                # In this order, and not its transpose, the product of a tall and a slim matrix is faster.
                total += np.matmul(columns, places.spread(gy[chunk]).swapaxes(1, 2)).sum(axis=0)
            return total

        # Added up strip by strip, in their order: the result does not depend on the number of threads.
        return (sum(map_strips(correlate, len(x))).T.reshape(self.W_shape),)

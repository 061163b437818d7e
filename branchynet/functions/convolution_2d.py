"""Two-dimensional convolution and its gradients by the kernels of `convolution.c` and `tiles.c`."""

import ctypes
import itertools

import chainer
import numpy as np
from chainer.functions.connection import convolution_2d as chainer_convolution_2d
from chainer.functions.connection import deconvolution_2d as chainer_deconvolution_2d

from branchynet.functions.kernels import call_strips, computes_here, total_of, vector_width
from branchynet.functions.relu import through_relu
from branchynet.functions.windows import Windows, pair
from branchynet.machine.winograd import best_tiling


def convolution_2d(x, W, b=None, stride=1, pad=0, cover_all=False, relu=False):
    """Two-dimensional convolution, as `chainer.functions.convolution_2d`, and ReLU after it if asked for.

    Args:
        x: (N, C, H, W) float Variable or array.
        W: (O, C, kh, kw) of the same dtype.
        b: (O,) or None.
        stride, pad: int or pair (vertical, horizontal).
        cover_all: also the windows that reach beyond the border.
        relu: whether negative outputs become 0.

    Returns:
        Variable (N, O, out_h, out_w).
    """
    fits = all(0 <= pad < ksize for pad, ksize in zip(pair(pad), W.shape[2:]))
    if not fits or not computes_here(x):
        y = chainer.functions.convolution_2d(x, W, b, stride, pad, cover_all)
        return chainer.functions.relu(y) if relu else y
    function = _Convolution2D(stride, pad, cover_all)
    function.relu = relu
    return function.apply((x, W) if b is None else (x, W, b))[0]


class _Convolution2D(chainer_convolution_2d.Convolution2DFunction):
    """Chainer's function with another way of computing on the CPU; its checks and its GPU path are Chainer's."""

    relu = False

    def _forward_cpu_core(self, x, W, b):
        y = np.empty((len(x), len(W), *self._get_out_size(x.shape, W.shape)), dtype=x.dtype)
        # Without gradients it is the reference that fast inference is held against: plain sums.
        tiles = chainer.config.enable_backprop
        _convolve(x, W, b, (self.sy, self.sx), (self.ph, self.pw), y, self.relu, tiles)
        if self.relu:
            self.retain_outputs((0,))
        return (y,)

    def backward(self, indexes, grad_outputs):
        x, W = self.get_retained_inputs()
        (gy,) = grad_outputs
        if self.relu:
            gy = through_relu(self.get_retained_outputs()[0], gy)
        gradients = []
        if 0 in indexes:
            gx = _GradientOfX((self.sy, self.sx), (self.ph, self.pw), outsize=x.shape[2:])
            gradients.append(gx.apply((gy, W))[0])
        if 1 in indexes:
            gradients.append(_GradientOfW(self, W.shape, W.dtype, W.layout).apply((x, gy))[0])
        if 2 in indexes:
            gradients.append(_GradientOfB().apply((gy,))[0])
        return gradients


class _GradientOfX(chainer_deconvolution_2d.Deconvolution2DFunction):
    """The gradient for the input: gy (N, O, out_h, out_w), W (O, C, kh, kw) -> (N, C, H, W)."""

    def _forward_cpu_core(self, gy, W, b):
        empty = np.empty if self.sy == self.sx == 1 else np.zeros  # else some numbers may be read by no window
        gx = empty((len(gy), W.shape[1], self.outh, self.outw), dtype=gy.dtype)
        # The numbers of an image that lie a stride apart are read by the same numbers of every kernel: each such plane
        # is a convolution of gy with those, turned by 180 degrees.
        axes = zip(W.shape[2:], gx.shape[2:], (self.sy, self.sx), (self.ph, self.pw))
        for (ky, pad_y, rows), (kx, pad_x, columns) in itertools.product(*(_planes(*axis) for axis in axes)):
            kernels = W[:, :, ky, kx][:, :, ::-1, ::-1].swapaxes(0, 1)  # (C, O, ...)
            read = gy[:, :, max(0, -pad_y) :, max(0, -pad_x) :]
            if read.size:
                _convolve(read, kernels, None, (1, 1), (max(0, pad_y), max(0, pad_x)), gx[:, :, rows, columns])
        return (gx,)


class _GradientOfW(chainer_convolution_2d.Convolution2DGradW):
    """The gradient for the kernels: x (N, C, H, W), gy (N, O, out_h, out_w) -> (O, C, kh, kw)."""

    def _forward_cpu_core(self, x, gy):
        x, gy = np.ascontiguousarray(x), np.ascontiguousarray(gy)
        n_outputs, channels, kh, kw = self.W_shape
        windows = Windows(*x.shape[1:], kh, kw, self.sy, self.sx, self.ph, self.pw, *gy.shape[2:])
        tiling, _ = best_tiling(self.W_shape, (self.sy, self.sx), gy.shape[2:])
        if tiling:
            return (_correlate_tiles(tiling, windows, x, gy),)
        shape = n_outputs, kh, _whole_vectors(kw * channels)
        (strips,) = call_strips(
            "correlate", len(x), _Convolution(windows, n_outputs), x, gy, sums=[(shape, np.float32)]
        )
        gradient = total_of(strips)[:, :, : kw * channels]
        return (np.ascontiguousarray(gradient.reshape(n_outputs, kh, kw, channels).transpose(0, 3, 1, 2)),)


class _GradientOfB(chainer.functions.math.sum.Sum):
    """The gradient for the biases: gy (N, O, out_h, out_w) -> (O,)."""

    def __init__(self):
        super().__init__(axis=(0, 2, 3))

    def forward(self, inputs):
        gy = np.ascontiguousarray(inputs[0])
        sizes = gy.shape[1], gy.shape[2] * gy.shape[3]
        totals, _ = call_strips("sums", len(gy), *sizes, gy, gy, sums=[(gy.shape[1], np.float64)] * 2)
        return (totals.sum(axis=0).astype(gy.dtype),)


class _Convolution(ctypes.Structure):
    """`struct convolution` of convolution.c."""

    _fields_ = [
        ("windows", Windows),
        *[(name, ctypes.c_int32) for name in ("outputs", "image_step", "channel_step", "step_y", "step_x", "relu")],
    ]


class _Tiling(ctypes.Structure):
    """`struct tiling` of tiles.c."""

    _fields_ = [("convolution", _Convolution), *[(name, ctypes.c_int32) for name in ("side", "n", "rows", "images")]]

    @classmethod
    def of(cls, tiling, convolution):
        """Blocks of whole rows of tiles whose numbers stay in the second-level cache."""
        n_tiles = min(48, _FLOATS_OF_BLOCK // (tiling.side**2 * (convolution.windows.channels + convolution.outputs)))
        rows = max(1, n_tiles // tiling.across)
        images = -(-rows // tiling.down)
        return cls(convolution, tiling.side, tiling.n, rows, images)


_FLOATS_OF_BLOCK = 2**17


def _convolve(x, W, b, stride, pad, y, relu=False, tiles=True):
    """x (N, C, H, W), W (O, C, kh, kw), b (O,) or None -> into y (N, O, out_h, out_w), a view with any steps.

    By tiles, where that is allowed and faster, else by plain sums.
    """
    n_outputs, channels, *ksize = W.shape
    windows = Windows(*x.shape[1:], *ksize, *stride, *pad, *y.shape[2:])
    description = _Convolution(windows, n_outputs, *(step // y.itemsize for step in y.strides), relu)
    x, bias = np.ascontiguousarray(x), np.zeros(_whole_groups(n_outputs), np.float32)
    bias[:n_outputs] = 0 if b is None else b
    tiling, _ = best_tiling(W.shape, stride, y.shape[2:]) if tiles else (None, 1.0)
    if tiling:
        kernels = np.moveaxis(_in_groups(W.reshape(n_outputs, channels, -1)), 2, 0)  # (k * k, groups, C, outputs)
        weights = tiling.transform.astype(np.float32) @ kernels.reshape(len(kernels), -1)  # (places, ...)
        name, description = "convolve_tiles", _Tiling.of(tiling, description)
    else:
        weights, name = _in_groups(W.transpose(0, 2, 3, 1)), "convolve"
    call_strips(name, len(x), description, x, np.ascontiguousarray(weights), bias, y)


def _correlate_tiles(tiling, windows, x, gy):
    """The gradient for the kernels, (O, C, k, k), by tiles."""
    n_outputs, channels, places = gy.shape[1], x.shape[1], tiling.side**2
    description = _Tiling.of(tiling, _Convolution(windows, n_outputs))
    shape = places, n_outputs, _whole_vectors(channels)
    (strips,) = call_strips("correlate_tiles", len(x), description, x, gy, sums=[(shape, np.float32)])
    gradient = tiling.transform.T.astype(np.float32) @ total_of(strips).reshape(places, -1)
    gradient = gradient.reshape(tiling.ksize, tiling.ksize, n_outputs, -1)[..., :channels]
    return np.ascontiguousarray(gradient.transpose(2, 3, 0, 1))


def _whole_vectors(n):
    return -(-n // vector_width()) * vector_width()


def _whole_groups(n):
    group = 2 * vector_width()
    return -(-n // group) * group


def _in_groups(weights):
    """(O, ...) -> (groups, ..., outputs of a group), with zeros behind the last output."""
    padded = np.zeros((_whole_groups(len(weights)), *weights.shape[1:]), np.float32)
    padded[: len(weights)] = weights
    return np.moveaxis(padded.reshape(-1, 2 * vector_width(), *weights.shape[1:]), 1, -1)


def _planes(ksize, size, stride, pad):
    """Along one axis, for each plane of the gradient of x: the numbers of a kernel that read it, the padding of the
    convolution (numbers that it leaves out, where that is below 0), and where the plane lies."""
    for phase in range(stride):
        numbers = range(phase, ksize, stride)
        first = -(-(pad - phase) // stride) if pad > phase else 0  # the first of the plane that is not padding
        begin = phase + first * stride - pad
        if numbers and begin < size:
            yield slice(phase, None, stride), len(numbers) - 1 - first, slice(begin, None, stride)

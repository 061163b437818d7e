"""The operations that a compiled plan is made of: what a layer computes at inference, without Chainer.

Each operation knows the shape of its result and its multiply-adds, both for one sample.
"""

import dataclasses
import math

import numpy as np
from chainer.utils.conv import get_conv_outsize

from branchynet.functions.windows import may_miss


@dataclasses.dataclass(frozen=True, eq=False)
class Convolution:
    """Two-dimensional convolution."""

    W: np.ndarray  # (O, C, kh, kw) float32
    b: np.ndarray  # (O,) float32
    stride: tuple  # (vertical, horizontal)
    pad: tuple  # (vertical, horizontal)

    def out_shape(self, shape):
        """(C, H, W) -> (O, out_h, out_w)."""
        return (len(self.W), *map(get_conv_outsize, shape[1:], self.W.shape[2:], self.stride, self.pad))

    def multiply_adds(self, shape):
        """Of one sample of that shape."""
        return self.W[0].size * math.prod(self.out_shape(shape))

    def scaled(self, scale, shift):
        """The same followed by ``y * scale + shift`` per channel: batch normalisation folded in."""
        return dataclasses.replace(self, W=self.W * scale[:, None, None, None], b=self.b * scale + shift)


@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
    """A fully connected layer on the flattened sample: W (O, K), b (O,), float32."""

    W: np.ndarray
    b: np.ndarray

    def out_shape(self, shape):
        """(...) -> (O,)."""
        return (len(self.W),)

    def multiply_adds(self, shape):
        """Of one sample."""
        return self.W.size

    def scaled(self, scale, shift):
        """The same followed by ``y * scale + shift``."""
        return dataclasses.replace(self, W=self.W * scale[:, None], b=self.b * scale + shift)


class _OfShape:
    """What operations share that keep the shape; arithmetic without parameters is not counted, as is the habit."""

    def out_shape(self, shape):
        """The shape of the input."""
        return shape

    def multiply_adds(self, shape):
        """None are counted."""
        return 0


@dataclasses.dataclass(frozen=True, eq=False)
class Scale(_OfShape):
    """``x * scale + shift`` per channel, float32 (C,): batch normalisation with its running statistics."""

    scale: np.ndarray
    shift: np.ndarray

    def multiply_adds(self, shape):
        """Of one sample."""
        return math.prod(shape)


@dataclasses.dataclass(frozen=True)
class Relu(_OfShape):
    """max(x, 0)."""


@dataclasses.dataclass(frozen=True)
class _Pooling(_OfShape):
    ksize: tuple
    stride: tuple
    pad: tuple
    cover_all: bool

    def out_shape(self, shape):
        """(C, H, W) -> (C, out_h, out_w)."""
        axes = shape[1:], self.ksize, self.stride, self.pad, (self.cover_all,) * 2
        return (shape[0], *map(get_conv_outsize, *axes))


@dataclasses.dataclass(frozen=True)
class MaxPooling(_Pooling):
    """The largest number in each window; `cover_all` counts windows that reach beyond the border."""


@dataclasses.dataclass(frozen=True)
class AveragePooling(_Pooling):
    """The mean of each window, padding included."""


@dataclasses.dataclass(frozen=True)
class LocalResponseNormalization(_OfShape):
    """``x_c / (k + alpha * sum of x ** 2 over the n channels around c) ** beta``."""

    n: int
    k: float
    alpha: float
    beta: float


@dataclasses.dataclass(frozen=True, eq=False)
class Residual:
    """``body(x) + shortcut(x)``; the shortcut takes every `stride`-th pixel and adds zero channels."""

    body: tuple
    stride: int
    added_channels: int

    def out_shape(self, shape):
        """The shape of the body's result."""
        return shape_after(self.body, shape)

    def multiply_adds(self, shape):
        """Of the body."""
        return count_multiply_adds(self.body, shape)


def neighbour_band(n_channels, n, alpha) -> np.ndarray:
    """(C, C) float32: alpha where two channels are neighbours, n channels around each; the sums of local response
    normalisation as a matrix."""
    distance = np.abs(np.subtract.outer(np.arange(n_channels), np.arange(n_channels)))
    return (alpha * (distance <= n // 2)).astype(np.float32)


def exchange(operations, first, second) -> list:
    """The same operations with each `first` and the `second` right behind it in the other order.

    For ReLU and max pooling, of which it does not matter which comes first, unless windows of the pooling may hold
    nothing but padding; which is faster depends on the engine.

    Args:
        operations: a sequence.
        first, second: classes.
    """
    operations = list(operations)
    for index in range(len(operations) - 1):
        one, other = operations[index : index + 2]
        if isinstance(one, first) and isinstance(other, second) and not (_may_miss(one) or _may_miss(other)):
            operations[index : index + 2] = other, one
    return operations


def _may_miss(operation):
    return isinstance(operation, MaxPooling) and may_miss(**vars(operation))


def fuse_relu(operations) -> list:
    """Pairs (operation, whether a ReLU follows it), for operations that compute the ReLU along with themselves; another
    ReLU is a pair of its own."""
    fused = []
    for operation in operations:
        takes_relu = fused and isinstance(fused[-1][0], (Convolution, Linear, Scale, Residual))
        if isinstance(operation, Relu) and takes_relu and not fused[-1][1]:
            fused[-1] = (fused[-1][0], True)
        else:
            fused.append((operation, isinstance(operation, Relu)))
    return fused


def arrays_of(operations):
    """All arrays of a sequence of operations, those of residual bodies, too."""
    for operation in operations:
        yield from (value for value in vars(operation).values() if isinstance(value, np.ndarray))
        yield from arrays_of(getattr(operation, "body", ()))


def shape_after(operations, shape):
    """The shape of one sample after a sequence of operations."""
    for operation in operations:
        shape = operation.out_shape(shape)
    return shape


def count_multiply_adds(operations, shape) -> int:
    """Multiply-adds of a sequence of operations on one sample of that shape."""
    total = 0
    for operation in operations:
        total += operation.multiply_adds(shape)
        shape = operation.out_shape(shape)
    return total

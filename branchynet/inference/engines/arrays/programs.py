"""Programs: operations on NumPy or CuPy arrays, with every buffer made beforehand.

A program runs a sequence of operations on a fixed number of samples: a list of calls on views of fixed buffers, with
no shape worked out and nothing allocated at run time. One body serves NumPy and CuPy.
"""

import functools
import math

import numpy as np

from branchynet.errors import CompileError
from branchynet.inference import operations as ops

# Numbers in a matrix of windows that keeps memory of its own.
_SMALL = 1 << 16


class Scratch:
    """Memory that one operation after the other may use while it runs, so that it stays in the cache.

    Args:
        xp: NumPy or CuPy.
    """

    def __init__(self, xp):
        self.xp = xp
        self._memory = xp.empty(0, np.float32)

    def view(self, shape):
        """A float32 array whose contents are arbitrary whenever an operation begins. Views of earlier, smaller memory
        stay valid."""
        n_numbers = math.prod(shape)
        if self._memory.size < n_numbers:
            self._memory = self.xp.empty(n_numbers, np.float32)
        return self._memory[:n_numbers].reshape(shape)

    def n_bytes(self) -> int:
        """Memory that it takes."""
        return self._memory.nbytes


class Program:
    """A sequence of operations on `n_samples` samples.

    Args:
        xp: NumPy or CuPy.
        operations: of `branchynet.inference.operations`.
        source: the buffer (n_samples, ...) float32 that the operations start from; it is not written to.
        scratch: `Scratch`, shared by all programs that never run at the same time.
        constants: {(id of an operation, name): array on the device}, shared by all programs of an engine; added to.
        matmul: (left, right, out=) -> None, a matrix product.

    Attributes:
        calls: functions without arguments; called in their order, they compute the result from what the source holds.
        result: the buffer, or view, (n_samples, ...) that holds the result then.
    """

    def __init__(self, xp, operations, source, scratch, constants, matmul):
        self.xp, self.scratch, self.constants, self.matmul = xp, scratch, constants, matmul
        self.calls = []
        self.buffers = []
        # A fresh array may be written to in place; the source may not, for others read it.
        self.result, self._is_fresh = source, False
        # ReLU on what pooling leaves is ReLU of fewer numbers.
        for operation in ops.exchange(operations, ops.Relu, ops.MaxPooling):
            if type(operation) not in _BUILDERS:
                raise CompileError(f"the arrays engine cannot compute {type(operation).__name__}")
            self.result, self._is_fresh = _BUILDERS[type(operation)](self, operation, self.result), True

    def n_bytes(self) -> int:
        """Memory that the buffers take."""
        return sum(buffer.nbytes for buffer in self.buffers)

    def buffer(self, shape, value=None):
        """A float32 buffer; `value` fills it once and for all."""
        array = self.xp.empty(shape, np.float32) if value is None else self.xp.full(shape, value, np.float32)
        self.buffers.append(array)
        return array

    def constant(self, operation, name, make):
        """What `make` () gives of an operation's weights, on the device; made once for all programs of the engine."""
        key = (id(operation), name)
        if key not in self.constants:
            self.constants.setdefault(key, self.xp.asarray(make()))
        return self.constants[key]

    def call(self, function, *args, **kwargs):
        """Adds a call to the program."""
        self.calls.append(functools.partial(function, *args, **kwargs))

    def writable(self, x):
        """x itself if it may be overwritten, else a copy made at run time."""
        if self._is_fresh:
            return x
        copy = self.buffer(x.shape)
        self.call(self.xp.copyto, copy, x)
        return copy


def _convolution(program, operation, x):
    """Windows side by side as columns, one matrix product a sample. The bias is one more column weight, times one."""
    xp = program.xp
    n_samples, channels, height, width = x.shape
    n_out, _, kh, kw = operation.W.shape
    (sy, sx), (ph, pw) = operation.stride, operation.pad
    _, out_h, out_w = operation.out_shape(x.shape[1:])
    dense = (sy, sx) == (1, 1)
    padded_h = max((out_h - 1) * sy + kh, ph + height)
    # Rows are padded at the left only, for to the right of the image comes the padding of the row below; the last
    # windows run past the end by kw - 1, or by the padding of the last row. At stride 1 each row of windows is taken
    # across the padded width: unbroken runs of memory (see branchynet.functions).
    padded_w = max(out_w, pw + width)
    run_w = padded_w if dense else out_w
    padded = program.buffer((n_samples, channels, padded_h * padded_w + max(kw - 1, pw)), 0)
    image = padded[:, :, : padded_h * padded_w].reshape(n_samples, channels, padded_h, padded_w)
    program.call(xp.copyto, image[:, :, ph : ph + height, pw : pw + width], x)

    n_weights = channels * kh * kw
    shape = (n_samples, n_weights + 1, out_h * run_w)
    if math.prod(shape) < _SMALL:  # not worth sharing: with memory of its own the ones are written once and for all
        columns = program.buffer(shape, 1)
    else:
        columns = program.scratch.view(shape)
        program.call(columns[:, n_weights].fill, 1)
    sample, channel, number = padded.strides
    row = number * padded_w
    if dense:
        places, steps = (out_h * run_w,), (number,)
    else:
        places, steps = (out_h, run_w), (row * sy, number * sx)
    shape, steps = (n_samples, channels, kh, kw, *places), (sample, channel, row, number, *steps)
    windows = xp.lib.stride_tricks.as_strided(padded, shape, steps)
    program.call(xp.copyto, columns[:, :n_weights].reshape(windows.shape), windows)

    weights = program.constant(
        operation, "W and b", lambda: np.concatenate([operation.W.reshape(n_out, -1), operation.b[:, None]], axis=1)
    )
    product = program.buffer((n_samples, n_out, out_h * run_w))
    program.call(program.matmul, weights, columns, out=product)
    return product.reshape(n_samples, n_out, out_h, run_w)[..., :out_w]


def _linear(program, operation, x):
    xp = program.xp
    flat = _flattened(program, x)
    product = program.buffer((len(x), len(operation.W)))
    weights = program.constant(operation, "W", lambda: np.ascontiguousarray(operation.W.T))
    program.call(program.matmul, flat, weights, out=product)
    program.call(xp.add, product, program.constant(operation, "b", lambda: operation.b), out=product)
    return product


def _flattened(program, x):
    """x as (n_samples, numbers), copied where it is no unbroken run of memory."""
    if x.ndim == 2:
        return x
    if not x.flags.c_contiguous:
        copy = program.buffer(x.shape)
        program.call(program.xp.copyto, copy, x)
        x = copy
    return x.reshape(len(x), -1)


def _scale(program, operation, x):
    xp = program.xp
    x = program.writable(x)
    shape = (-1, *[1] * (x.ndim - 2))
    scale, shift = (
        program.constant(operation, name, lambda n=name: getattr(operation, n)) for name in ("scale", "shift")
    )
    program.call(xp.multiply, x, scale.reshape(shape), out=x)
    program.call(xp.add, x, shift.reshape(shape), out=x)
    return x


def _relu(program, operation, x):
    x = program.writable(x)
    program.call(program.xp.maximum, x, program.xp.float32(0), out=x)
    return x


def _max_pooling(program, operation, x):
    """First down the rows, then along them."""
    _, out_h, out_w = operation.out_shape(x.shape[1:])
    by_rows = program.buffer((*x.shape[:2], out_h, x.shape[3]))
    _fold(program, by_rows, x, 2, operation)
    y = program.buffer((*x.shape[:2], out_h, out_w))
    _fold(program, y, by_rows, 3, operation)
    return y


def _fold(program, out, x, axis, operation):
    """The maximum of what the windows read along one axis, into out."""
    xp = program.xp
    spans = _spans(x, out, axis, operation)
    before = (slice(None),) * axis
    # What reaches all outputs comes first: two such need no start value and no copy.
    everywhere = slice(0, out.shape[axis])
    complete = [x[(*before, inputs)] for outputs, inputs in spans if outputs == everywhere]
    if len(complete) > 1:
        program.call(xp.maximum, complete[0], complete[1], out=out)
    elif complete:
        program.call(xp.copyto, out, complete[0])
    else:
        program.call(out.fill, -np.inf)
    parts = [(out, inputs) for inputs in complete[2:]]
    parts += [(out[(*before, outputs)], x[(*before, inputs)]) for outputs, inputs in spans if outputs != everywhere]
    for part, inputs in parts:
        program.call(xp.maximum, part, inputs, out=part)


def _average_pooling(program, operation, x):
    xp = program.xp
    _, out_h, out_w = operation.out_shape(x.shape[1:])
    y = program.buffer((*x.shape[:2], out_h, out_w))
    program.call(y.fill, 0)
    for out_rows, rows in _spans(x, y, 2, operation):
        for out_cols, cols in _spans(x, y, 3, operation):
            part = y[:, :, out_rows, out_cols]
            program.call(xp.add, part, x[:, :, rows, cols], out=part)
    program.call(xp.divide, y, xp.float32(math.prod(operation.ksize)), out=y)
    return y


def _spans(x, out, axis, operation):
    """For each offset within a window: the outputs whose windows have it inside the image, and what they read there.

    Args:
        axis: 2 or 3.

    Returns:
        list of pairs of slices (outputs, inputs), in the order of the offsets.
    """
    size, n_out = x.shape[axis], out.shape[axis]
    ksize, stride, pad = (of[axis - 2] for of in (operation.ksize, operation.stride, operation.pad))
    spans = []
    for offset in range(ksize):
        first = max(0, -(-(pad - offset) // stride))
        last = min(n_out - 1, (size - 1 + pad - offset) // stride)
        if first <= last:
            begin = first * stride + offset - pad
            spans.append((slice(first, last + 1), slice(begin, begin + (last - first) * stride + 1, stride)))
    return spans


def _local_response_normalization(program, operation, x):
    xp = program.xp
    square, base, y = (program.buffer(x.shape) for _ in range(3))
    program.call(xp.multiply, x, x, out=square)
    # The sum over neighbouring channels as a product with a band matrix: one call.
    band = program.constant(
        operation, f"band {x.shape[1]}", lambda: ops.neighbour_band(x.shape[1], operation.n, operation.alpha)
    )
    flat = (len(x), x.shape[1], -1)
    program.call(program.matmul, band, square.reshape(flat), out=base.reshape(flat))
    program.call(xp.add, base, xp.float32(operation.k), out=base)
    if operation.beta == 0.75:  # two square roots are faster than a power
        program.call(xp.sqrt, base, out=base)
        program.call(xp.sqrt, base, out=square)
        program.call(xp.multiply, base, square, out=base)
    else:
        program.call(xp.power, base, xp.float32(operation.beta), out=base)
    program.call(xp.divide, x, base, out=y)
    return y


def _residual(program, operation, x):
    body = Program(program.xp, operation.body, x, program.scratch, program.constants, program.matmul)
    y = body.writable(body.result)
    program.calls += body.calls
    program.buffers += body.buffers
    shortcut = x[:, :, :: operation.stride, :: operation.stride]
    part = y[:, : y.shape[1] - operation.added_channels]
    program.call(program.xp.add, part, shortcut, out=part)
    return y


_BUILDERS = {
    ops.Convolution: _convolution,
    ops.Linear: _linear,
    ops.Scale: _scale,
    ops.Relu: _relu,
    ops.MaxPooling: _max_pooling,
    ops.AveragePooling: _average_pooling,
    ops.LocalResponseNormalization: _local_response_normalization,
    ops.Residual: _residual,
}

"""The windows that a convolution looks through, as columns of one matrix, for a chunk of samples at a time.

The samples of a chunk lie side by side in it: one product of two large matrices is faster than one for each sample, and
adds up over the samples by itself where the gradient of the kernels asks for it.

`DenseWindows` is for stride 1. There the windows are taken on across the row ends, so that what all of them have at one
offset is one unbroken run of memory to copy and to add; the few places at the row ends that belong to no window are
dropped. `StridedWindows` is for all other strides.
"""

from __future__ import annotations

import functools

import numpy as np

from branchynet.threads import scratch


@functools.lru_cache(maxsize=256)
def windows(image_shape, kernel, stride, pad, out_size, itemsize):
    """The windows of one convolution; its arguments are tuples, for the cache's sake.

    Args:
        image_shape: (C, H, W).
        kernel, stride, pad: pairs (vertical, horizontal).
        out_size: (out_h, out_w).
        itemsize: bytes of a number.
    """
    kind = DenseWindows if stride == (1, 1) else StridedWindows
    return kind(image_shape, kernel, stride, pad, out_size, itemsize)


class StridedWindows:
    """Windows at any stride, side by side.

    Attributes:
        n_columns: C * kh * kw, numbers in a window.
        n_places: columns of the matrix, here one for each window of an image.
        sample_bytes: bytes of the matrix of one image.
    """

    def __init__(self, image_shape, kernel, stride, pad, out_size, itemsize):
        self.channels, self.height, self.width = image_shape
        (self.kh, self.kw), (self.sy, self.sx), (self.ph, self.pw) = kernel, stride, pad
        self.out_h, self.out_w = out_size
        # The image with its padding, and all that the windows reach beyond it (cover_all).
        self.padded_h = max((self.out_h - 1) * self.sy + self.kh, self.ph + self.height)
        self.padded_w = self._count_padded_columns()
        self.n_columns = self.channels * self.kh * self.kw
        self.n_places = self._count_places()
        self.sample_bytes = self.n_columns * self.n_places * itemsize

    def columns(self, x):
        """(n, C, H, W) -> (n_columns, n * n_places), in scratch memory."""
        padded = self._padded_zeros(len(x), x.dtype)
        self._interior(padded)[...] = x
        columns = self.column_buffer(len(x), x.dtype)
        view = self._view(padded)
        np.copyto(columns.reshape(view.shape), view)
        return columns

    def column_buffer(self, n_samples, dtype):
        """Scratch memory for the columns of a chunk, (n_columns, n * n_places)."""
        return scratch("columns", (self.n_columns, n_samples * self.n_places), dtype)

    def scatter(self, columns, gx):
        """The transpose of `columns`: adds every number of every window up where it came from, into gx (n, C, H, W)."""
        padded = self._padded_zeros(len(gx), gx.dtype)
        columns = columns.reshape(self.channels, self.kh, self.kw, len(gx), self.n_places)
        self._add_windows(padded, columns.transpose(3, 0, 1, 2, 4))
        gx[...] = self._interior(padded)

    def result_buffer(self, y):
        """Scratch memory for the matrix product of a chunk of outputs y (n, O, out_h, out_w): (O, n * n_places)."""
        return scratch("product", (y.shape[1], len(y) * self.n_places), y.dtype)

    def write_result(self, product, b, y):
        """Brings a matrix product (O, n * n_places), plus biases b (O,) or None, into y (n, O, out_h, out_w)."""
        images = self._images(product, len(y))[..., : self.out_w].swapaxes(0, 1)
        if b is None:
            y[...] = images
        else:
            np.add(images, b[:, None, None], out=y)

    def spread(self, gy):
        """The inverse of `write_result`, with zeros where no window is: (n, O, out_h, out_w) -> (O, n * n_places)."""
        spread = scratch("spread", (gy.shape[1], len(gy) * self.n_places), gy.dtype)
        images = self._images(spread, len(gy))
        images[..., : self.out_w] = gy.swapaxes(0, 1)
        images[..., self.out_w :] = 0
        return spread

    def _images(self, matrix, n_samples):
        """(O, n * n_places) -> the same as (O, n, out_h, places in a row)."""
        return matrix.reshape(len(matrix), n_samples, self.out_h, self.n_places // self.out_h)

    def _count_padded_columns(self):
        return max((self.out_w - 1) * self.sx + self.kw, self.pw + self.width)

    def _count_places(self):
        return self.out_h * self.out_w

    def _padded_zeros(self, n_samples, dtype):
        padded = scratch("padded", (n_samples, self.channels, self.padded_h, self.padded_w), dtype)
        padded[...] = 0
        return padded

    def _interior(self, padded):
        return padded[:, :, self.ph : self.ph + self.height, self.pw : self.pw + self.width]

    def _view(self, padded):
        sample, channel, row, column = padded.strides
        shape = (self.channels, self.kh, self.kw, len(padded), self.out_h, self.out_w)
        strides = (channel, row, column, sample, row * self.sy, column * self.sx)
        return _overlapping_view(padded, shape, strides)

    def _add_windows(self, padded, columns):
        columns = columns.reshape(*columns.shape[:4], self.out_h, self.out_w)
        for i in range(self.kh):
            for j in range(self.kw):
                rows = slice(i, i + self.sy * (self.out_h - 1) + 1, self.sy)
                cols = slice(j, j + self.sx * (self.out_w - 1) + 1, self.sx)
                padded[:, :, rows, cols] += columns[:, :, i, j]


class DenseWindows(StridedWindows):
    """Windows at stride 1, taken on across the row ends.

    Rows are padded at the left only: what a window reads to the right of the image is the padding of the row below.
    """

    def _count_padded_columns(self):
        return max(self.out_w, self.pw + self.width)

    def _count_places(self):
        return self.out_h * self.padded_w

    def _padded_zeros(self, n_samples, dtype):
        # The last windows of the last row run past the end.
        padded = scratch("padded", (n_samples, self.channels, self.padded_h * self.padded_w + self.kw - 1), dtype)
        padded[...] = 0
        return padded

    def _interior(self, padded):
        image = padded[:, :, : self.padded_h * self.padded_w].reshape(*padded.shape[:2], self.padded_h, self.padded_w)
        return super()._interior(image)

    def _view(self, padded):
        sample, channel, number = padded.strides
        shape = (self.channels, self.kh, self.kw, len(padded), self.n_places)
        strides = (channel, number * self.padded_w, number, sample, number)
        return _overlapping_view(padded, shape, strides)

    def _add_windows(self, padded, columns):
        for i in range(self.kh):
            for j in range(self.kw):
                first = i * self.padded_w + j
                padded[:, :, first : first + self.n_places] += columns[:, :, i, j]


def _overlapping_view(array, shape, strides):
    """What `as_strided` gives of a contiguous array; called for every chunk, where that function's checks cost."""
    return np.ndarray(shape, array.dtype, array, strides=strides)

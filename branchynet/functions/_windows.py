"""The windows that a convolution looks through, without a copy of the whole batch."""

from __future__ import annotations

import numpy as np

from branchynet.threads import scratch


class Geometry:
    """Sizes of one convolution.

    Args:
        x_shape: (N, C, H, W).
        kernel, stride, pad: pairs (vertical, horizontal).
        out_size: (out_h, out_w).
        itemsize: bytes of a number.

    Attributes:
        n_columns: C * kh * kw, numbers in a window.
        n_windows: out_h * out_w, windows in an image.
        sample_bytes: bytes of the windows of an image.
    """

    def __init__(self, x_shape, kernel, stride, pad, out_size, itemsize):
        _, self.channels, self.height, self.width = x_shape
        (self.kh, self.kw), (self.sy, self.sx), (self.ph, self.pw) = kernel, stride, pad
        self.out_h, self.out_w = out_size
        # Rows and columns that the windows reach, the padding included.
        self.padded_h = (self.out_h - 1) * self.sy + self.kh
        self.padded_w = (self.out_w - 1) * self.sx + self.kw
        self.n_columns = self.channels * self.kh * self.kw
        self.n_windows = self.out_h * self.out_w
        self.sample_bytes = self.n_columns * self.n_windows * itemsize

    def columns(self, x):
        """The windows of a chunk, side by side: (n, C, H, W) -> (n, C * kh * kw, out_h * out_w), in scratch memory."""
        columns = self.column_buffer(len(x), x.dtype)
        shape = (len(x), self.channels, self.kh, self.kw, self.out_h, self.out_w)
        np.copyto(columns.reshape(shape), self._windows(self._padded(x)))
        return columns

    def column_buffer(self, n_samples, dtype):
        """Scratch memory for the columns of a chunk, (n, C * kh * kw, out_h * out_w)."""
        return scratch("columns", (n_samples, self.n_columns, self.n_windows), dtype)

    def scatter(self, columns, gx):
        """The transpose of `columns`: adds every number of every window up where it came from, into gx (n, C, H, W)."""
        n_samples = len(gx)
        columns = columns.reshape(n_samples, self.channels, self.kh, self.kw, self.out_h, self.out_w)
        padded = scratch("padded", (n_samples, self.channels, *self._padded_size()), gx.dtype)
        padded[...] = 0
        for i in range(self.kh):
            for j in range(self.kw):
                rows = slice(i, i + self.sy * (self.out_h - 1) + 1, self.sy)
                cols = slice(j, j + self.sx * (self.out_w - 1) + 1, self.sx)
                padded[:, :, rows, cols] += columns[:, :, i, j]
        gx[...] = padded[:, :, self.ph : self.ph + self.height, self.pw : self.pw + self.width]

    def _padded_size(self):
        """Of an image with its padding, and all that the windows reach."""
        return max(self.padded_h, self.ph + self.height), max(self.padded_w, self.pw + self.width)

    def _padded(self, x):
        if (self.ph, self.pw) == (0, 0) and self.padded_h <= self.height and self.padded_w <= self.width:
            return x
        padded = scratch("padded", (len(x), self.channels, *self._padded_size()), x.dtype)
        padded[...] = 0
        padded[:, :, self.ph : self.ph + self.height, self.pw : self.pw + self.width] = x
        return padded

    def _windows(self, x):
        n_samples, channels = x.shape[:2]
        sample, channel, row, column = x.strides
        return np.lib.stride_tricks.as_strided(
            x,
            (n_samples, channels, self.kh, self.kw, self.out_h, self.out_w),
            (sample, channel, row, column, row * self.sy, column * self.sx),
            writeable=False,
        )

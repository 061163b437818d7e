"""Convolution at stride 1 with fewer copies: a column holds what one row of the kernel reads, not the whole kernel.

This is MEC, memory-efficient convolution (Cho and Brand, arXiv 1706.06873). It makes kw copies of an image where im2col
makes kh * kw. What the other rows of the kernel read at a place are the columns of that place in the image rows below:
there are kh products of matrices, whose results are added up.
"""

from __future__ import annotations

import numpy as np

from branchynet.functions._windows import Windows, overlapping_view
from branchynet.machine.memory import scratch


class RowWindows(Windows):
    """Windows at stride 1 of the samples of a chunk, which lie below each other as one high image.

    Each image is padded above and at the left only. Its padding below and at the right is that of the next image and of
    the next row.
    """

    # Columns are few here and quickly copied: longer products gain more than columns that are still in the cache.
    _n_chunks_at_once = 4

    def kernel_matrix(self, W):
        """W (O, C, kh, kw) -> the matrix that `convolve` multiplies by, (kh * O, C * kw)."""
        return W.transpose(2, 0, 1, 3).reshape(self.kh * self.n_out, self.n_rows)

    def convolve(self, kernels, x, b, y):
        """x (n, C, H, W), the `kernel_matrix`, b (O,) or None -> into y (n, O, out_h, out_w)."""
        columns = self._columns(x)
        shares = scratch("product", (self.kh * self.n_out, columns.shape[1]), x.dtype)
        np.matmul(kernels, columns, out=shares)
        shares = shares.reshape(self.kh, self.n_out, columns.shape[1])
        n_places = len(x) * self.n_places
        product = shares[0, :, :n_places]
        for row in range(1, self.kh):
            product += shares[row, :, row * self.grid_w : row * self.grid_w + n_places]
        self.write_result(product, b, y)

    def gradient(self, x, gy):
        """x (n, C, H, W), gy (n, O, out_h, out_w) -> the gradient of the kernels, (kh, C * kw, O)."""
        columns = self._columns(x)
        row, number = columns.strides
        shape = (self.kh, self.n_rows, len(x) * self.n_places)
        return np.matmul(overlapping_view(columns, shape, (number * self.grid_w, row, number)), self.spread(gy).T)

    def kernels(self, gradient):
        """What `gradient` gives, as (O, C, kh, kw)."""
        return gradient.reshape(self.kh, self.channels, self.kw, self.n_out).transpose(3, 1, 0, 2)

    def _columns(self, x):
        """(n, C, H, W) -> (C * kw, places in n images and in kh - 1 rows below them), in scratch memory."""
        n_numbers = (len(x) * self.grid_h + self.kh - 1) * self.grid_w
        padded = scratch("padded", (self.channels, n_numbers + self.kw - 1), x.dtype)
        padded[...] = 0
        grid = self._grid(padded[:, : len(x) * self.n_places], len(x))
        grid[:, :, self.ph : self.ph + self.height, self.pw : self.pw + self.width] = x.swapaxes(0, 1)
        columns = scratch("columns", (self.n_rows, n_numbers), x.dtype)
        channel, number = padded.strides
        shape = (self.channels, self.kw, n_numbers)
        np.copyto(columns.reshape(shape), overlapping_view(padded, shape, (channel, number, number)))
        return columns

    def _grid_size(self):
        return max(self.ph + self.height, self.out_h), max(self.pw + self.width, self.out_w)

    def _count_copies(self):
        return self.kw

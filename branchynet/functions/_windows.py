"""Convolution as a product of matrices (im2col): each window of the images becomes a column of one matrix.

The columns of all samples of a chunk stand side by side. One product of two large matrices is faster than one for each
sample, and it sums over the samples, which is what the gradient of the kernels needs.

`StridedWindows` works at any stride. `DenseWindows` is faster, for stride 1: there it also makes columns for windows
that would run over the end of a row into the next one. Then what all windows read at one offset is one contiguous piece
of memory, to copy and to add. The results of those extra windows are dropped.
"""

from __future__ import annotations

import numpy as np

from branchynet.machine.memory import chunks, scratch


class Windows:
    """The places where the windows of a convolution begin, and the results there.

    The places form a grid as large as the output, or larger: results at places without a window are dropped.

    Args:
        image_shape: (C, H, W).
        n_out: O, channels of the output.
        kernel, stride, pad: pairs (vertical, horizontal).
        out_size: (out_h, out_w).

    Attributes:
        n_places: places in the grid of one image.
        n_rows: rows of the matrix of columns: how many numbers of a window are copied.
    """

    _n_chunks_at_once = 1

    def __init__(self, image_shape, n_out, kernel, stride, pad, out_size):
        self.channels, self.height, self.width = image_shape
        (self.kh, self.kw), (self.sy, self.sx), (self.ph, self.pw) = kernel, stride, pad
        self.out_h, self.out_w = out_size
        self.n_out = n_out
        self.grid_h, self.grid_w = self._grid_size()
        self.n_places = self.grid_h * self.grid_w
        self.n_rows = self.channels * self._count_copies()

    @property
    def product_size(self):
        """Multiply-adds of `convolve` for one sample."""
        return self.channels * self.kh * self.kw * self.n_out * self.n_places

    @property
    def gradient_size(self):
        """Multiply-adds of each product in `gradient` for one sample."""
        return self.n_rows * self.n_out * self.n_places

    def chunks(self, start, stop, itemsize, product_size):
        """The samples [start, stop) in chunks, as slices.

        Args:
            itemsize: bytes of a number.
            product_size: multiply-adds for one sample of the product that the chunks are for.
        """
        column_bytes = self.n_rows * self.n_places * itemsize
        return chunks(start, stop, column_bytes // self._n_chunks_at_once, product_size)

    def spread(self, gy):
        """gy (n, O, out_h, out_w) -> (O, n * n_places) in scratch memory, 0 at places without a window."""
        spread = scratch("spread", (gy.shape[1], len(gy) * self.n_places), gy.dtype)
        grid = self._grid(spread, len(gy))
        grid[..., : self.out_h, : self.out_w] = gy.swapaxes(0, 1)
        grid[..., : self.out_h, self.out_w :] = 0
        grid[..., self.out_h :, :] = 0
        return spread

    def write_result(self, product, b, y):
        """Copies a product (O, n * n_places), plus biases b (O,) or None, into y (n, O, out_h, out_w)."""
        images = self._grid(product, len(y))[..., : self.out_h, : self.out_w].swapaxes(0, 1)
        if b is None:
            y[...] = images
        else:
            np.add(images, b[:, None, None], out=y)

    def _grid(self, matrix, n_samples):
        return matrix.reshape(len(matrix), n_samples, self.grid_h, self.grid_w)


class StridedWindows(Windows):
    """Windows at any stride, side by side."""

    def __init__(self, *args):
        super().__init__(*args)
        # The image with its padding; larger still where windows reach beyond that (cover_all).
        self.padded_h = max((self.out_h - 1) * self.sy + self.kh, self.ph + self.height)
        self.padded_w = self._count_padded_columns()

    def kernel_matrix(self, W):
        """W (O, C, kh, kw) -> the matrix that `convolve` multiplies by, (O, C * kh * kw)."""
        return W.reshape(len(W), -1)

    def convolve(self, kernels, x, b, y):
        """x (n, C, H, W), the `kernel_matrix`, b (O,) or None -> into y (n, O, out_h, out_w)."""
        product = scratch("product", (self.n_out, len(x) * self.n_places), x.dtype)
        np.matmul(kernels, self.columns(x), out=product)
        self.write_result(product, b, y)

    def gradient(self, x, gy):
        """x (n, C, H, W), gy (n, O, out_h, out_w) -> the gradient of the kernels, (C * kh * kw, O)."""
        # Faster in this order than as the transpose of the product: the left matrix is tall, the right one slim.
        return np.matmul(self.columns(x), self.spread(gy).T)

    def kernels(self, gradient):
        """What `gradient` gives, as (O, C, kh, kw)."""
        return gradient.T.reshape(self.n_out, self.channels, self.kh, self.kw)

    def columns(self, x):
        """(n, C, H, W) -> (C * kh * kw, n * n_places), in scratch memory."""
        padded = self._padded_zeros(len(x), x.dtype)
        self._interior(padded)[...] = x
        columns = self.column_buffer(len(x), x.dtype)
        view = self._view(padded)
        np.copyto(columns.reshape(view.shape), view)
        return columns

    def column_buffer(self, n_samples, dtype):
        """Scratch memory for the columns of a chunk, (C * kh * kw, n * n_places)."""
        return scratch("columns", (self.n_rows, n_samples * self.n_places), dtype)

    def scatter(self, columns, gx):
        """The transpose of `columns`: adds each number to the place in gx (n, C, H, W) that its window read."""
        padded = self._padded_zeros(len(gx), gx.dtype)
        columns = columns.reshape(self.channels, self.kh, self.kw, len(gx), self.n_places)
        self._add_windows(padded, columns.transpose(3, 0, 1, 2, 4))
        gx[...] = self._interior(padded)

    def _grid_size(self):
        return self.out_h, self.out_w

    def _count_copies(self):
        return self.kh * self.kw

    def _count_padded_columns(self):
        return max((self.out_w - 1) * self.sx + self.kw, self.pw + self.width)

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
        return overlapping_view(padded, shape, strides)

    def _add_windows(self, padded, columns):
        columns = columns.reshape(*columns.shape[:4], self.out_h, self.out_w)
        for i in range(self.kh):
            for j in range(self.kw):
                rows = slice(i, i + self.sy * (self.out_h - 1) + 1, self.sy)
                cols = slice(j, j + self.sx * (self.out_w - 1) + 1, self.sx)
                padded[:, :, rows, cols] += columns[:, :, i, j]


class DenseWindows(StridedWindows):
    """Windows at stride 1, with extra ones that run over the end of a row.

    Rows are padded at the left only: what a window reads at the right of the image is the padding of the row below.
    """

    def _grid_size(self):
        return self.out_h, self._count_padded_columns()

    def _count_padded_columns(self):
        return max(self.out_w, self.pw + self.width)

    def _padded_zeros(self, n_samples, dtype):
        # The last windows of the last row read past the end.
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
        return overlapping_view(padded, shape, strides)

    def _add_windows(self, padded, columns):
        for i in range(self.kh):
            for j in range(self.kw):
                first = i * self.padded_w + j
                padded[:, :, first : first + self.n_places] += columns[:, :, i, j]


def overlapping_view(array, shape, strides):
    """What `as_strided` gives for a contiguous array, without its checks: this is called for every chunk."""
    return np.ndarray(shape, array.dtype, array, strides=strides)

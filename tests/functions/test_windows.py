"""Every way to lay out the windows of a convolution gives its definition, whatever was in memory before."""

import numpy as np
import pytest

from branchynet.functions._row_windows import RowWindows
from branchynet.functions._windows import DenseWindows, StridedWindows


def describe(kind, x_shape, W_shape, pad, stride=(1, 1)):
    kernel, sizes = W_shape[2:], x_shape[2:]
    out_size = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip(sizes, pad, kernel, stride))
    return kind(x_shape[1:], W_shape[0], kernel, stride, pad, out_size)


def windows_of(x, kernel, pad, stride=(1, 1)):
    """(n, C, out_h, out_w, kh, kw) by NumPy."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    return np.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3))[:, :, :: stride[0], :: stride[1]]


def leave_nonsense_in_memory(kind):
    """The buffers of this thread are re-used: afterwards they are full of NaN."""
    x_shape, W_shape = (8, 6, 20, 20), (6, 6, 5, 5)
    places = describe(kind, x_shape, W_shape, (0, 0))
    y = np.empty((8, 6, 16, 16))
    places.convolve(places.kernel_matrix(np.full(W_shape, np.nan)), np.full(x_shape, np.nan), None, y)
    places.gradient(np.full(x_shape, np.nan), y)


@pytest.mark.parametrize("kind", [StridedWindows, DenseWindows, RowWindows])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (2, 0), (0, 2), (4, 5)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5), (5, 2)])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_outputs_and_the_gradient_of_the_kernels(rng, kind, kernel, pad, n_samples):
    x, W, b = rng.normal(size=(n_samples, 3, 7, 6)), rng.normal(size=(4, 3, *kernel)), rng.normal(size=4)
    leave_nonsense_in_memory(kind)
    places, windows = describe(kind, x.shape, W.shape, pad), windows_of(x, kernel, pad)
    y = np.empty((n_samples, 4, places.out_h, places.out_w))
    places.convolve(places.kernel_matrix(W), x, b, y)
    np.testing.assert_allclose(y, np.einsum("nchwij,ocij->nohw", windows, W) + b[:, None, None])
    places.convolve(places.kernel_matrix(W), x, None, y)
    np.testing.assert_allclose(y, np.einsum("nchwij,ocij->nohw", windows, W))
    gy = rng.normal(size=y.shape)
    gW = places.kernels(places.gradient(x, gy))
    np.testing.assert_allclose(gW, np.einsum("nchwij,nohw->ocij", windows, gy))


@pytest.mark.parametrize("stride", [(2, 2), (1, 3)])
def test_strided_windows(rng, stride):
    x, W = rng.normal(size=(2, 3, 7, 6)), rng.normal(size=(4, 3, 3, 2))
    leave_nonsense_in_memory(StridedWindows)
    places, windows = describe(StridedWindows, x.shape, W.shape, (1, 1), stride), windows_of(x, (3, 2), (1, 1), stride)
    y = np.empty((2, 4, places.out_h, places.out_w))
    places.convolve(places.kernel_matrix(W), x, None, y)
    np.testing.assert_allclose(y, np.einsum("nchwij,ocij->nohw", windows, W))


@pytest.mark.parametrize("kind", [StridedWindows, DenseWindows, RowWindows])
def test_chunks_cover_all_samples_once(kind):
    places = describe(kind, (100, 5, 15, 15), (10, 5, 5, 5), (3, 3))
    for size in (places.product_size, places.gradient_size):
        covered = [row for chunk in places.chunks(3, 100, 4, size) for row in range(chunk.start, chunk.stop)]
        assert covered == list(range(3, 100))

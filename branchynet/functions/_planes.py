"""How max pooling lays images out in memory: split into planes, so that windows read contiguous memory.

With strides (sy, sx), plane (i, j) holds the rows i, i + sy, i + 2 sy, ... and the columns j, j + sx, ... of the padded
images, one image after another. What all windows of a chunk read at one offset then lies in one plane, in the order of
the windows: one contiguous slice. In the images themselves it lies a stride apart, and starts anew in every row.
"""

from __future__ import annotations

import functools

import numpy as np

from branchynet.functions.spans import window_spans
from branchynet.machine.memory import scratch


@functools.lru_cache(maxsize=256)
def planes_for(image_shape, out_size, ksize, stride, pad, dtype):
    """The `Planes` of one pooling, kept: at batch 1, making them takes as long as pooling does."""
    return Planes(image_shape, out_size, ksize, stride, pad, dtype)


class Planes:
    """The planes of images of one shape.

    A place in a plane stands for the window that begins there. Where windows overlap, a plane has more rows and columns
    than the output has: no window begins at those places. They are computed like all others and dropped in the end.

    Args:
        image_shape: (C, H, W).
        out_size: (out_h, out_w).
        ksize, stride, pad: pairs (vertical, horizontal).
        dtype: of the numbers.

    Attributes:
        sample_bytes: bytes of the planes of one sample.
    """

    def __init__(self, image_shape, out_size, ksize, stride, pad, dtype):
        self.channels, *sizes = image_shape
        self.out_size, self.ksize, self.stride, self.dtype = out_size, ksize, stride, np.dtype(dtype)
        self.rows, self.cols = (n + (k - 1) // s for n, k, s in zip(out_size, ksize, stride))
        spans = [window_spans(*axis) for axis in zip(sizes, (self.rows, self.cols), stride, stride, pad)]
        # (index into the planes, index into the images) for each plane that holds a part of the images
        self._parts = [
            (((ri.start + pad[0]) % stride[0], (ci.start + pad[1]) % stride[1], ..., ro, co), (..., ri, ci))
            for ro, ri in spans[0]
            for co, ci in spans[1]
        ]
        covered = [sum(outputs.stop - outputs.start for outputs, _ in axis) for axis in spans]
        self._no_padding = covered == [stride[0] * self.rows, stride[1] * self.cols]
        self._whole_images = covered == sizes
        self._all_read = ksize[0] >= stride[0] and ksize[1] >= stride[1]
        self.sample_bytes = stride[0] * stride[1] * self.channels * self.rows * self.cols * self.dtype.itemsize

    def split(self, x):
        """Images (n, C, H, W) -> their planes (sy, sx, places) in scratch memory, with -inf as padding."""
        planes = self._buffer("planes", len(x))
        if not self._no_padding:
            planes[...] = -np.inf
        images = self._images(planes, len(x))
        for in_planes, in_images in self._parts:
            images[in_planes] = x[in_images]
        return planes

    def windows(self, planes, n_samples):
        """What the windows read, offset by offset in the order of rows.

        Yields:
            (view of a plane, (places of n samples,); whether it is the first view of that plane)
        """
        n_places = self._count_places(n_samples)
        for i in range(self.ksize[0]):
            for j in range(self.ksize[1]):
                (down, row), (along, col) = divmod(i, self.stride[0]), divmod(j, self.stride[1])
                first = down * self.cols + along
                yield planes[row, col, first : first + n_places], first == 0

    def gradient_buffer(self, n_samples):
        """Planes in scratch memory for gradients: the first view of each is written to, the others are added to."""
        planes = self._buffer("gradient planes", n_samples)
        if not self._all_read:
            planes[...] = 0
        return planes

    def join(self, planes, gx):
        """The inverse of `split`: puts planes together into gx (n, C, H, W), with 0 where no window reads."""
        if not self._whole_images:
            gx[...] = 0
        images = self._images(planes, len(gx))
        for in_planes, in_images in self._parts:
            gx[in_images] = images[in_planes]

    def spread(self, name, y):
        """Outputs (n, C, out_h, out_w) -> (places,) in scratch memory of that name, 0 at places without a window."""
        places = scratch(name, (len(y), self.channels, self.rows, self.cols), self.dtype)
        if self.out_size != (self.rows, self.cols):
            places[...] = 0
        places[..., : self.out_size[0], : self.out_size[1]] = y
        return places.reshape(-1)

    def write_result(self, places, y):
        """The inverse of `spread`: copies (places,) into y (n, C, out_h, out_w)."""
        images = places.reshape(len(y), self.channels, self.rows, self.cols)
        y[...] = images[..., : self.out_size[0], : self.out_size[1]]

    def _count_places(self, n_samples):
        return n_samples * self.channels * self.rows * self.cols

    def _buffer(self, name, n_samples):
        # At the last places, windows read past the end of the images.
        tail = (self.rows - self.out_size[0]) * self.cols + self.cols - self.out_size[1]
        n_places = self._count_places(n_samples)
        planes = scratch(name, (*self.stride, n_places + tail), self.dtype)
        planes[..., n_places:] = 0
        return planes

    def _images(self, planes, n_samples):
        images = planes[..., : self._count_places(n_samples)]
        return images.reshape(*self.stride, n_samples, self.channels, self.rows, self.cols)

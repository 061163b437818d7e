"""Images dealt out to planes, in which what pooling windows read at one offset is an unbroken run of memory.

With strides (sy, sx), plane (i, j) takes the rows i, i + sy, i + 2 sy, ... and the columns j, j + sx, ... of the padded
images, image after image. All windows of a chunk read, at one offset, one plane from some place on, number by number:
one long run, where a slice of the images jumps by the stride and starts anew in every row.
"""

from __future__ import annotations

import functools

import numpy as np

from branchynet.functions.spans import window_spans
from branchynet.memory import scratch


@functools.lru_cache(maxsize=256)
def planes_for(image_shape, out_size, ksize, stride, pad, dtype):
    """The `Planes` of one pooling; at batch 1 it costs as much to work them out as to pool."""
    return Planes(image_shape, out_size, ksize, stride, pad, dtype)


class Planes:
    """How images of one shape are dealt out.

    Where windows overlap, a row of a plane is longer than a row of outputs, and there are more rows: those places have
    no window, are computed like all others, and are dropped in the end.

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
        # (index into the planes, index into the images) for each plane that gets any of their numbers
        self._deals = [
            (((ri.start + pad[0]) % stride[0], (ci.start + pad[1]) % stride[1], ..., ro, co), (..., ri, ci))
            for ro, ri in spans[0]
            for co, ci in spans[1]
        ]
        dealt = [sum(outputs.stop - outputs.start for outputs, _ in axis) for axis in spans]
        self._all_filled = dealt == [stride[0] * self.rows, stride[1] * self.cols]
        self._all_dealt = dealt == sizes
        self._all_read = ksize[0] >= stride[0] and ksize[1] >= stride[1]
        self.sample_bytes = stride[0] * stride[1] * self.channels * self.rows * self.cols * self.dtype.itemsize

    def deal(self, x):
        """(n, C, H, W) -> planes (sy, sx, places) in scratch memory; -inf for the padding."""
        planes = self._buffer("planes", len(x))
        if not self._all_filled:
            planes[...] = -np.inf
        images = self._images(planes, len(x))
        for into, source in self._deals:
            images[into] = x[source]
        return planes

    def windows(self, planes, n_samples):
        """What all windows read, offset by offset in the order of rows: views (places of n samples) of the planes.

        Each comes with whether it is the first view of its plane.
        """
        n_places = self._count_places(n_samples)
        for i in range(self.ksize[0]):
            for j in range(self.ksize[1]):
                (down, row), (along, col) = divmod(i, self.stride[0]), divmod(j, self.stride[1])
                first = down * self.cols + along
                yield planes[row, col, first : first + n_places], first == 0

    def gradient_buffer(self, n_samples):
        """Planes in scratch memory, for the first view of each to be written and the others to be added to."""
        planes = self._buffer("gradient planes", n_samples)
        if not self._all_read:
            planes[...] = 0
        return planes

    def collect(self, planes, gx):
        """The inverse of `deal`: planes -> into gx (n, C, H, W), 0 where no window reads."""
        if not self._all_dealt:
            gx[...] = 0
        images = self._images(planes, len(gx))
        for into, source in self._deals:
            gx[source] = images[into]

    def spread(self, name, y):
        """(n, C, out_h, out_w) -> (places,) in scratch memory of that name; 0 at places without a window."""
        places = scratch(name, (len(y), self.channels, self.rows, self.cols), self.dtype)
        if self.out_size != (self.rows, self.cols):
            places[...] = 0
        places[..., : self.out_size[0], : self.out_size[1]] = y
        return places.reshape(-1)

    def write_result(self, places, y):
        """(places,) -> into y (n, C, out_h, out_w)."""
        images = places.reshape(len(y), self.channels, self.rows, self.cols)
        y[...] = images[..., : self.out_size[0], : self.out_size[1]]

    def _count_places(self, n_samples):
        return n_samples * self.channels * self.rows * self.cols

    def _buffer(self, name, n_samples):
        # The last windows reach past the end.
        tail = (self.rows - self.out_size[0]) * self.cols + self.cols - self.out_size[1]
        n_places = self._count_places(n_samples)
        planes = scratch(name, (*self.stride, n_places + tail), self.dtype)
        planes[..., n_places:] = 0
        return planes

    def _images(self, planes, n_samples):
        images = planes[..., : self._count_places(n_samples)]
        return images.reshape(*self.stride, n_samples, self.channels, self.rows, self.cols)

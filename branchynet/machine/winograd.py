"""Convolutions by Winograd's minimal filtering, as `winograd.h` computes them: when, and from which weights."""

from __future__ import annotations

import functools
import math
import typing

import numpy as np

# Points beside infinity, for a tile of a side; at 2 and -1/2 rounding errors stay smaller than at 2 and -2.
_POINTS = {4: (0, 1, -1), 6: (0, 1, -1, 2, -1 / 2)}
# (size of the kernel, outputs of a tile in a row) that the C knows.
_FORMS = ((3, 2), (3, 4), (5, 2))
# Vectors go across channels: with less, too much is computed for nothing.
_LEAST_CHANNELS = 16
# To and from its places, a number of a channel takes as long as so many products.
_TRANSFORM = 4


class Tiling(typing.NamedTuple):
    """How a convolution is cut into tiles.

    Attributes:
        ksize: of the kernel, in both directions.
        n: outputs of a tile in a row.
        down, across: tiles of an image, in a column and in a row.
    """

    ksize: int
    n: int
    down: int
    across: int

    @property
    def side(self) -> int:
        """Pixels that a tile reads in a row; its square is the number of places."""
        return self.ksize + self.n - 1

    @property
    def place_of_bias(self) -> int:
        """Where both points are 1: what is added there is in every output once."""
        return self.side + 1

    @property
    def transform(self) -> np.ndarray:
        """(side ** 2, ksize ** 2) float64: weights of a kernel, row by row, to those of each place."""
        return _transform(self.side, self.ksize)


@functools.cache
def _transform(side, ksize):
    points = _POINTS[side]
    # Values of a polynomial at a point, by what Lagrange's interpolation divides by; its last coefficient at infinity.
    rows = [np.power(float(x), range(ksize)) / math.prod(x - other for other in points if other != x) for x in points]
    at_points = np.array([*rows, np.eye(ksize)[-1]])
    return np.kron(at_points, at_points)


def best_tiling(shape, stride, out_size):
    """The fastest tiling of a convolution.

    Args:
        shape: (O, C, kh, kw) of the weights.
        stride: (vertical, horizontal).
        out_size: (H, W) of the result.

    Returns:
        `Tiling`, or None if plain sums are faster; and its share of their time, at most 1.
    """
    n_outputs, channels, *ksize = shape
    plain = least = math.prod(shape) * math.prod(out_size)
    best = None
    for k, n in _FORMS:
        if ksize == [k, k] and tuple(stride) == (1, 1) and channels >= _LEAST_CHANNELS:
            tiling = Tiling(k, n, *(-(-size // n) for size in out_size))
            products = tiling.down * tiling.across * tiling.side**2 * n_outputs * channels
            work = products * (1 + _TRANSFORM * (1 / channels + 1 / n_outputs))
            best, least = (tiling, work) if work < least else (best, least)
    return best, least / plain if plain else 1.0

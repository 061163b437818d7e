"""Convolutions by Winograd's minimal filtering, as `winograd.h` computes them: when, and from which weights."""

from __future__ import annotations

import functools
import math
import typing

import numpy as np

# For a tile of a side: points p that -p comes with; 0 and infinity are points, too.
_PAIRS = {4: (1,), 6: (5 / 8, 3 / 2), 8: (1, 2, 1 / 2)}
# (size of the kernel, outputs of a tile in a row) that the C knows.
_FORMS = ((3, 2), (3, 4), (3, 6), (5, 2), (5, 4))
# Vectors go across channels, and are of so many floats at most.
_VECTOR = 16
# Of the time of plain sums, as estimated, that tiles are worth their errors and their memory for.
_LARGEST_SHARE = 0.85


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
    def transform(self) -> np.ndarray:
        """(side ** 2, ksize ** 2) float64: weights of a kernel, row by row, to those of each place."""
        return _transform(self.side, self.ksize)


@functools.cache
def _transform(side, ksize):
    points = [0, *(point for p in _PAIRS[side] for point in (p, -p))]
    # Values of a polynomial at a point, by what Lagrange's interpolation divides by; its last coefficient at infinity.
    rows = [np.power(float(x), range(ksize)) / math.prod(x - other for other in points if other != x) for x in points]
    at_points = np.array([*rows, np.eye(ksize)[-1]])
    return np.kron(at_points, at_points)


@functools.cache
def best_tiling(shape, stride, out_size):
    """The fastest tiling of a convolution.

    Args:
        shape: (O, C, kh, kw) of the weights.
        stride: (vertical, horizontal).
        out_size: (H, W) of the result.

    Returns:
        `Tiling`, or None if plain sums are about as fast; and its share of their time, 1 for None.
    """
    n_outputs, channels, *ksize = shape
    in_vectors, out_vectors = -(-channels // _VECTOR), -(-n_outputs // _VECTOR)
    plain = math.prod(out_size) * math.prod(ksize) * channels * out_vectors
    best, least = None, _LARGEST_SHARE * plain
    for k, n in _FORMS:
        if ksize == [k, k] and tuple(stride) == (1, 1):
            tiling = Tiling(k, n, *(-(-size // n) for size in out_size))
            # To or from its place, a number takes about as long as `side` products.
            of_a_place = channels * out_vectors + tiling.side * (in_vectors + out_vectors)
            work = tiling.down * tiling.across * tiling.side**2 * of_a_place
            best, least = (tiling, work) if work < least else (best, least)
    return best, least / plain if best else 1.0

"""Convolutions by Winograd's minimal filtering, as `winograd.h` computes them: when, and from which weights."""

import math
import typing

import numpy as np

from branchynet.inference.native import images

# Points beside infinity, for a tile of a side; at 2 and -1/2 rounding errors stay smaller than at 2 and -2.
_POINTS = {4: (0, 1, -1), 6: (0, 1, -1, 2, -1 / 2)}
# (size of the kernel, outputs of a tile in a row) that the C knows.
_FORMS = ((3, 2), (3, 4), (5, 2))
# Most tiles in a block, and floats between the numbers of two places: MOST, PLACE_GAP in C.
_MOST_TILES, _PLACE_GAP = 24, 16
# To and from its places, a number of a channel takes as long as so many products.
_TRANSFORM = 4


class Tiling(typing.NamedTuple):
    """How a convolution is cut into tiles.

    Attributes:
        n: outputs of a tile in a row.
        side: pixels that it reads in a row.
        n_tiles: of an image.
    """

    n: int
    side: int
    n_tiles: int

    def floats_of_block(self, n_outputs, channels) -> int:
        """Room for the numbers and sums of a block of tiles; n_outputs: whole groups."""
        n_tiles = min(_MOST_TILES, self.n_tiles)
        numbers = n_tiles * images.rounded_up(channels, images.SMALL_GROUP) + _PLACE_GAP
        return self.side**2 * (numbers + n_tiles * n_outputs + _PLACE_GAP)


def best_tiling(operation, out_shape):
    """The fastest `Tiling` of a convolution, None if plain sums are faster; and its share of their time, at most 1.

    Args:
        operation: `branchynet.inference.operations.Convolution`.
        out_shape: (O, H, W) of its result.
    """
    n_outputs, channels, *ksize = operation.W.shape
    best, least = None, math.prod(operation.W.shape) * math.prod(out_shape[1:])
    plain = least
    for k, n in _FORMS:
        if ksize == [k, k] and operation.stride == (1, 1) and channels >= images.SMALL_GROUP:
            tiling = Tiling(n, k + n - 1, math.prod(-(-side // n) for side in out_shape[1:]))
            products = tiling.n_tiles * tiling.side**2 * n_outputs * channels
            work = products * (1 + _TRANSFORM * (1 / channels + 1 / n_outputs))
            best, least = (tiling, work) if work < least else (best, least)
    return best, least / plain


def pack(tiling, weights, bias, group) -> np.ndarray:
    """Weights for `convolution_of_tiles` in winograd.h.

    Args:
        tiling: `Tiling`.
        weights: (O, C, k, k) float32.
        bias: (O,) float32.
        group: output channels of a group.

    Returns:
        flat float32: for each place, row by row, what `images.pack_groups` makes of its weights.
    """
    points = _POINTS[tiling.side]
    at_points = _at_points(points, weights.shape[2])
    places = at_points @ weights.astype(np.float64) @ at_points.T  # (O, C, side, side)
    packed = []
    for row, column in np.ndindex(places.shape[2:]):
        # Its bias is where all outputs have the sum in them once.
        is_at_one = row == column == points.index(1)
        packed.append(images.pack_groups(places[:, :, row, column], bias if is_at_one else np.zeros_like(bias), group))
    return np.concatenate(packed)


def _at_points(points, ksize):
    """(side, ksize) float64: values of a polynomial of ksize coefficients at the points and infinity, each divided by
    what Lagrange's interpolation divides by."""
    rows = [np.power(float(x), range(ksize)) / math.prod(x - other for other in points if other != x) for x in points]
    return np.array([*rows, np.eye(ksize)[-1]])

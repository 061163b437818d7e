"""Convolutions by Winograd's minimal filtering, as `winograd.h` computes them: when, and from which weights."""

import math

import numpy as np

from branchynet.inference.native import images

# Points beside infinity, for a kernel of a size; at 2 and -1/2 rounding errors stay smaller than at 2 and -2.
_POINTS = {3: (0, 1, -1), 5: (0, 1, -1, 2, -1 / 2)}
# Outputs of a tile in a row; most tiles in a block, and floats between the numbers of two places: MOST, PLACE_GAP in C.
_OUTPUTS, _MOST_TILES, _PLACE_GAP = 2, 24, 16
# With the transforms, tiles take about so much longer than their products alone.
_TRANSFORMS = 1.3


def share_of_work(operation, out_shape) -> float:
    """How long a convolution takes by tiles, beside number by number; 1 where only the latter can be.

    Args:
        operation: `branchynet.inference.operations.Convolution`.
        out_shape: (O, H, W) of its result.
    """
    _, channels, ksize, kw = operation.W.shape
    if ksize != kw or ksize not in _POINTS or operation.stride != (1, 1) or channels < images.SMALL_GROUP:
        return 1.0
    return _TRANSFORMS * _n_tiles(out_shape) * side_of(operation) ** 2 / (ksize**2 * math.prod(out_shape[1:]))


def side_of(operation) -> int:
    """Pixels that a tile reads in a row."""
    return operation.W.shape[2] + _OUTPUTS - 1


def size_of_block(side, n_outputs, channels, out_shape) -> int:
    """Floats that a block of tiles is transformed in.

    Args:
        side: of `side_of`.
        n_outputs: output channels, whole groups.
        channels: of the input.
        out_shape: (O, H, W) of the result.
    """
    n_tiles = min(_MOST_TILES, _n_tiles(out_shape))
    numbers = n_tiles * images.rounded_up(channels, images.SMALL_GROUP) + _PLACE_GAP
    return side**2 * (numbers + n_tiles * n_outputs + _PLACE_GAP)


def pack(weights, bias, group) -> np.ndarray:
    """Weights for `convolution_of_tiles` in winograd.h.

    Args:
        weights: (O, C, k, k) float32.
        bias: (O,) float32.
        group: output channels of a group.

    Returns:
        flat float32: for each place, row by row, what `images.pack_groups` makes of its weights.
    """
    points = _POINTS[weights.shape[2]]
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


def _n_tiles(out_shape):
    return math.prod(-(-side // _OUTPUTS) for side in out_shape[1:])

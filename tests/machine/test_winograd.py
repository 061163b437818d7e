"""Winograd's minimal filtering: when it is used, and that weights at the points give the outputs of a convolution."""

import numpy as np
import pytest

from branchynet.machine.winograd import Tiling, best_tiling


@pytest.mark.parametrize(("ksize", "n"), [(3, 2), (3, 4), (5, 2)])
def test_the_places_of_a_tile_hold_its_outputs(ksize, n, rng):
    tiling = Tiling(ksize, n, 1, 1)
    side = tiling.side
    pixels, weights = rng.normal(size=(side, side)), rng.normal(size=(ksize, ksize))
    points = np.array([0, 1, -1, 2, -0.5][: side - 1])
    # What pixels give at the points: the transpose of what takes a polynomial's values there to its coefficients.
    values = np.vstack([np.vander(points, side, increasing=True), np.eye(side)[-1]])
    divisors = [np.prod(np.delete(x - points, index)) for index, x in enumerate(points)]
    to_points = np.linalg.inv(values).T * np.array([*divisors, 1])[:, None]
    from_points = np.vstack([np.vander(points, n, increasing=True), np.eye(n)[-1]]).T
    sums = (tiling.transform @ weights.ravel()).reshape(side, side) * (to_points @ pixels @ to_points.T)
    sums.ravel()[tiling.place_of_bias] += 7
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (ksize, ksize))
    np.testing.assert_allclose(from_points @ sums @ from_points.T, 7 + (windows * weights).sum(axis=(2, 3)))


@pytest.mark.parametrize(
    ("shape", "size", "stride", "expected"),
    [
        ((32, 16, 3, 3), 30, 1, (4, 8, 8)),
        ((64, 16, 3, 3), 6, 1, (2, 3, 3)),
        ((32, 16, 5, 5), 13, 1, (2, 7, 7)),
        ((32, 15, 3, 3), 30, 1, None),
        ((32, 16, 3, 3), 30, 2, None),
        ((32, 16, 2, 2), 30, 1, None),
        ((32, 16, 3, 5), 30, 1, None),
        ((64, 16, 3, 3), 1, 1, None),
        ((64, 16, 3, 3), 0, 1, None),
    ],
)
def test_tiles_are_for_many_channels_at_stride_1_and_as_large_as_pays(shape, size, stride, expected):
    tiling, share = best_tiling(shape, (stride, stride), (size, size))
    assert (tiling and (tiling.n, tiling.down, tiling.across)) == expected
    assert (share < 1) == (expected is not None)

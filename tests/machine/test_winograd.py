"""Winograd's minimal filtering: when it is used, and that weights at the points give the outputs of a convolution."""

import numpy as np
import pytest

from branchynet.machine.winograd import Tiling, best_tiling

POINTS = {4: [0, 1, -1], 6: [0, 5 / 8, -5 / 8, 3 / 2, -3 / 2], 8: [0, 1, -1, 2, -2, 1 / 2, -1 / 2]}


@pytest.mark.parametrize(("ksize", "n"), [(3, 2), (3, 4), (3, 6), (5, 2), (5, 4)])
def test_the_places_of_a_tile_hold_its_outputs(ksize, n, rng):
    tiling = Tiling(ksize, n, 1, 1)
    side = tiling.side
    pixels, weights = rng.normal(size=(side, side)), rng.normal(size=(ksize, ksize))
    points = np.array(POINTS[side])
    # What pixels give at the points: the transpose of what takes a polynomial's values there to its coefficients.
    values = np.vstack([np.vander(points, side, increasing=True), np.eye(side)[-1]])
    divisors = [np.prod(np.delete(x - points, index)) for index, x in enumerate(points)]
    to_points = np.linalg.inv(values).T * np.array([*divisors, 1])[:, None]
    from_points = np.vstack([np.vander(points, n, increasing=True), np.eye(n)[-1]]).T
    sums = (tiling.transform @ weights.ravel()).reshape(side, side) * (to_points @ pixels @ to_points.T)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (ksize, ksize))
    np.testing.assert_allclose(from_points @ sums @ from_points.T, (windows * weights).sum(axis=(2, 3)))


@pytest.mark.parametrize(
    ("shape", "size", "stride", "expected"),
    [
        ((32, 16, 3, 3), 30, 1, (6, 5, 5)),
        ((32, 16, 3, 3), 8, 1, (4, 2, 2)),
        ((64, 16, 3, 3), 2, 1, (2, 1, 1)),
        ((32, 16, 5, 5), 16, 1, (4, 4, 4)),
        ((32, 16, 5, 5), 2, 1, (2, 1, 1)),
        ((32, 3, 5, 5), 32, 1, (4, 8, 8)),
        ((32, 3, 3, 3), 30, 1, None),
        ((32, 16, 3, 3), 30, 2, None),
        ((32, 16, 2, 2), 30, 1, None),
        ((32, 16, 3, 5), 30, 1, None),
        ((64, 16, 3, 3), 1, 1, None),
        ((64, 16, 3, 3), 0, 1, None),
    ],
)
def test_tiles_are_used_at_stride_1_where_they_pay_and_as_large_as_pays(shape, size, stride, expected):
    tiling, share = best_tiling(shape, (stride, stride), (size, size))
    assert (tiling and (tiling.n, tiling.down, tiling.across)) == expected
    assert (share < 1) == (expected is not None)

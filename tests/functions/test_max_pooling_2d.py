"""The fast max pooling gives Chainer's results, ties included."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from branchynet.functions import max_pooling_2d

from .compare import assert_same_results


@pytest.mark.parametrize("cover_all", [False, True])
@pytest.mark.parametrize(
    ("ksize", "stride", "pad"),
    [
        (2, 2, 0),
        (3, 2, 0),
        (3, 2, 1),
        (1, 1, 0),
        (2, 1, 1),
        (3, None, 0),
        ((3, 2), (1, 2), (1, 0)),
        (3, 1, 1),
        (2, 3, 0),
        (2, 4, 3),
        (4, 3, 1),
        ((1, 5), (2, 1), (0, 2)),
    ],
)
@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
def test_results_are_chainers(rng, device, ksize, stride, pad, cover_all, rounded):
    x = rng.normal(size=(5, 3, 11, 8)).astype(np.float32)
    x = np.round(x) if rounded else x
    assert_same_results(
        lambda x: max_pooling_2d(x, ksize, stride, pad, cover_all),
        lambda x: F.max_pooling_2d(x, ksize, stride, pad, cover_all),
        device,
        x,
        rtol=0,
        atol=1e-6,
    )


def test_the_first_of_equal_maxima_takes_the_gradient():
    x = chainer.Variable(np.ones((1, 1, 2, 2), np.float32))
    y = max_pooling_2d(x, 2)
    y.grad = np.full((1, 1, 1, 1), 5, np.float32)
    y.backward()
    np.testing.assert_array_equal(x.grad[0, 0], [[5, 0], [0, 0]])


def test_a_nan_is_not_lost():
    x = np.zeros((1, 1, 2, 4), np.float32)
    x[0, 0, 1, 2] = np.nan
    np.testing.assert_array_equal(max_pooling_2d(x, 2).array[0, 0], [[0, np.nan]])


def test_an_empty_batch_gives_nothing():
    x = chainer.Variable(np.zeros((0, 2, 4, 4), np.float32))
    y = max_pooling_2d(x, 2)
    y.grad = np.zeros_like(y.array)
    y.backward()
    assert y.shape == (0, 2, 2, 2) and x.grad.shape == x.shape


def test_double_precision_stays():
    x = np.random.default_rng(0).normal(size=(1, 1, 5, 5))
    assert max_pooling_2d(x, 2).dtype == np.float64


def test_gradients_are_those_of_finite_differences(rng):
    x = rng.permutation(60).reshape(1, 2, 6, 5).astype(np.float64)
    gradient_check.check_backward(lambda x: max_pooling_2d(x, 3, 2), x, rng.normal(size=(1, 2, 3, 2)), dtype=np.float64)


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="no window of 5 fits an image of 3"):
        max_pooling_2d(np.zeros((1, 1, 3, 3), np.float32), 5, cover_all=False)

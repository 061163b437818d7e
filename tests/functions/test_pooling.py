"""The fast poolings give Chainer's results, ties included."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from branchynet.functions import average_pooling_2d, max_pooling_2d
from branchynet.functions.windows import may_miss

from .compare import assert_same_results

WINDOWS = [
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
]  # ksize, stride, pad


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("cover_all", [False, True])
@pytest.mark.parametrize(("ksize", "stride", "pad"), WINDOWS)
@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
def test_maxima_and_gradients_are_chainers(rng, device, ksize, stride, pad, cover_all, relu, rounded):
    x = rng.normal(size=(5, 3, 11, 8)).astype(np.float32)
    x = np.round(x) if rounded else x
    assert_same_results(
        lambda x: max_pooling_2d(x, ksize, stride, pad, cover_all, relu),
        lambda x: (F.relu if relu else F.identity)(F.max_pooling_2d(x, ksize, stride, pad, cover_all)),
        device,
        x,
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("cover_all", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("ksize", [1, 2, 3])
@pytest.mark.parametrize("pad", [0, 1, 2, 3])
def test_a_window_may_miss_the_image_if_one_of_its_maxima_is_that_of_nothing(ksize, stride, pad, cover_all):
    images = [np.zeros((1, 1, size, 9), np.float32) for size in range(3, 9)]
    maxima = [F.max_pooling_2d(x, (ksize, 1), (stride, 1), (pad, 0), cover_all).array for x in images]
    expected = any(np.isneginf(y).any() for y in maxima)
    assert may_miss((ksize, 1), (stride, 1), (pad, 0), cover_all) is expected
    assert may_miss((1, ksize), stride=(1, stride), pad=(0, pad), cover_all=cover_all, relu=True) is expected


def test_windows_lie_side_by_side_and_cover_all_unless_told_otherwise():
    assert may_miss(2, None, 1) and may_miss(2, pad=1) and not may_miss(2) and not may_miss(2, 2, 1, False, True)


@pytest.mark.parametrize(("ksize", "stride", "pad"), WINDOWS)
def test_means_and_gradients_are_chainers(rng, device, ksize, stride, pad):
    x = rng.normal(size=(5, 3, 11, 8)).astype(np.float32)
    ours, theirs = (
        (lambda x, function=function: function(x, ksize, stride, pad))
        for function in (average_pooling_2d, F.average_pooling_2d)
    )
    assert_same_results(ours, theirs, device, x, rtol=1e-5, atol=1e-6)


def test_the_first_of_equal_maxima_takes_the_gradient():
    x = chainer.Variable(np.ones((1, 1, 2, 2), np.float32))
    y = max_pooling_2d(x, 2)
    y.grad = np.full((1, 1, 1, 1), 5, np.float32)
    y.backward()
    np.testing.assert_array_equal(x.grad[0, 0], [[5, 0], [0, 0]])


@pytest.mark.parametrize("place", [(0, 2), (0, 3), (1, 2), (1, 3)])
@pytest.mark.parametrize("relu", [False, True])
def test_a_nan_is_not_lost(relu, place):
    x = np.zeros((1, 1, 2, 4), np.float32)
    x[0, 0][place] = np.nan
    np.testing.assert_array_equal(max_pooling_2d(x, 2, relu=relu).array[0, 0], [[0, np.nan]])


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


@pytest.mark.parametrize("function", [lambda x, ksize: max_pooling_2d(x, ksize, cover_all=False), average_pooling_2d])
def test_a_window_that_does_not_fit_is_refused(function):
    with pytest.raises(ValueError, match="no window of 5 fits an image of 3"):
        function(np.zeros((1, 1, 3, 3), np.float32), 5)


@pytest.mark.parametrize("function", [max_pooling_2d, average_pooling_2d])
@pytest.mark.parametrize("settings", [{"pad": -1}, {"stride": 0}, {"pad": (0, -2)}], ids=str)
def test_settings_that_are_none_are_refused(function, settings):
    with pytest.raises(ValueError, match="expected windows and strides >= 1 and padding >= 0"):
        function(np.zeros((1, 1, 6, 6), np.float32), 2, **settings)

"""The fast convolution gives Chainer's results: forward, both gradients, every shape."""

import sys

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer import gradient_check

from branchynet.functions import convolution_2d
from branchynet.links import Convolution2D

from .compare import assert_same_results

CPU = chainer.get_device("@numpy")
_CONVOLUTION = "branchynet.functions.convolution_2d"  # the module: the function has its name


def naive_convolution(x, W, b, stride, pad):
    """Every output by its definition."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    kh, kw = W.shape[2:]
    rows, cols = range(0, x.shape[2] - kh + 1, stride), range(0, x.shape[3] - kw + 1, stride)
    return np.array([[[[(sample[:, r : r + kh, c : c + kw] * kernel).sum() + bias for c in cols] for r in rows]
                      for kernel, bias in zip(W, b)] for sample in x])  # fmt: skip


def assert_results_are_chainers(rng, shapes, *settings, device=CPU, relu=False, scale=1.0, **tolerance):
    """Compares outputs and gradients of both convolutions of random arrays of these shapes: x, W and perhaps b."""
    arrays = [rng.normal(0, scale, size=shape).astype(np.float32) for shape in shapes]

    def ours(x, W, b=None):
        return convolution_2d(x, W, b, *settings, relu=relu)

    def theirs(x, W, b=None):
        y = F.convolution_2d(x, W, b, *settings)
        return F.relu(y) if relu else y

    assert_same_results(ours, theirs, device, *arrays, **(tolerance or {"rtol": 1e-4, "atol": 1e-4}))


@pytest.mark.parametrize("cover_all", [False, True])
@pytest.mark.parametrize("pad", [0, 1, (2, 1), 3])
@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5), (5, 5)])
def test_results_are_chainers(rng, device, kernel, stride, pad, cover_all):
    shapes = (3, 4, 11, 9), (6, 4, *kernel), 6
    assert_results_are_chainers(rng, shapes, stride, pad, cover_all, device=device)


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1)])
def test_results_are_the_definitions(rng, stride, pad):
    x, W, b = rng.normal(size=(2, 2, 6, 5)), rng.normal(size=(3, 2, 3, 2)), rng.normal(size=3)
    np.testing.assert_allclose(convolution_2d(x, W, b, stride, pad).array, naive_convolution(x, W, b, stride, pad))


@pytest.mark.parametrize("n_samples", [1, 2, 7, 20])
def test_any_number_of_samples_and_no_bias(rng, device, n_samples):
    assert_results_are_chainers(rng, ((n_samples, 1, 6, 6), (2, 1, 3, 3)), 1, 1, device=device)


@pytest.mark.parametrize("stride", [1, 2])
def test_an_empty_batch_gives_nothing_and_moves_nothing(rng, stride):
    x, W, b = (chainer.Variable(rng.normal(size=s).astype(np.float32)) for s in ((0, 2, 6, 6), (3, 2, 3, 3), (3,)))
    y = convolution_2d(x, W, b, stride, pad=1)
    y.grad = np.ones_like(y.array)
    y.backward()
    assert y.shape == (0, 3, *y.shape[2:]) and x.grad.shape == x.shape
    np.testing.assert_array_equal(W.grad, np.zeros_like(W.array))


# What the kernels do depends on how many channels, outputs and pixels there are: whole vectors or not, one or two.
@pytest.mark.parametrize("channels", [1, 3, 5, 16])
@pytest.mark.parametrize("outputs", [1, 8, 9, 16, 21, 40])
@pytest.mark.parametrize("width", [1, 4, 13])
def test_every_block_of_the_kernels(rng, monkeypatch, channels, outputs, width):
    monkeypatch.setattr(sys.modules[_CONVOLUTION], "best_tiling", lambda *shapes: (None, 1.0))
    assert_results_are_chainers(rng, ((3, channels, 5, width), (outputs, channels, 3, 3), outputs), 1, 1)


# By tiles of every size, of which the last reach past the border or not; several images in a block or one.
@pytest.mark.parametrize(("ksize", "pad"), [(3, 0), (3, 1), (5, 2), (5, 4)])
@pytest.mark.parametrize("size", [(5, 7), (8, 8), (6, 30), (33, 6)])
@pytest.mark.parametrize(("channels", "outputs"), [(16, 16), (17, 35), (40, 18)])
def test_tiles_of_many_channels(rng, channels, outputs, size, ksize, pad):
    shapes = (3, channels, *size), (outputs, channels, ksize, ksize), outputs
    assert_results_are_chainers(rng, shapes, 1, pad, relu=True, scale=0.3, of_largest=2e-5)


def test_tiles_compute_in_training_and_not_where_inference_is_checked(rng, monkeypatch):
    module, called = sys.modules[_CONVOLUTION], []
    compute = module.call_strips

    def noted(name, *given, **sums):
        called.append(name)
        return compute(name, *given, **sums)

    monkeypatch.setattr(module, "call_strips", noted)
    x, W = (chainer.Variable(rng.normal(size=size).astype(np.float32)) for size in ((2, 16, 8, 8), (20, 16, 3, 3)))
    F.sum(convolution_2d(x, W, pad=1)).backward()
    assert called == ["convolve_tiles", "convolve_tiles", "correlate_tiles"]
    with chainer.no_backprop_mode():
        convolution_2d(x, W, pad=1)
    assert called[3:] == ["convolve"]


@pytest.mark.parametrize("stride", [1, 2])
def test_with_relu_behind(rng, device, stride):
    assert_results_are_chainers(rng, ((3, 4, 7, 6), (6, 4, 3, 3), 6), stride, device=device, relu=True)


def test_relu_does_not_hide_a_nan():
    x, W = np.full((1, 1, 3, 3), np.nan, np.float32), np.ones((2, 1, 3, 3), np.float32)
    assert np.isnan(convolution_2d(x, W, relu=True).array).all()


def test_a_non_contiguous_batch(rng):
    x, W = rng.normal(size=(6, 6, 8, 2)).astype(np.float32), rng.normal(size=(3, 2, 3, 3)).astype(np.float32)
    view = x.transpose(0, 3, 1, 2)[::2]
    np.testing.assert_allclose(convolution_2d(view, W).array, F.convolution_2d(view.copy(), W).array, atol=1e-4)


def test_gradients_are_those_of_finite_differences(rng):
    arrays = rng.normal(size=(2, 2, 5, 4)), rng.normal(size=(3, 2, 3, 2)), rng.normal(size=3)
    gradient_check.check_backward(
        lambda x, W, b: convolution_2d(x, W, b, 2, 1), arrays, rng.normal(size=(2, 3, 3, 3)), dtype=np.float64
    )


def test_second_derivatives_work(rng):
    arrays = rng.normal(size=(2, 2, 5, 4)), rng.normal(size=(3, 2, 3, 2))
    grads = rng.normal(size=arrays[0].shape), rng.normal(size=arrays[1].shape)
    gradient_check.check_double_backward(
        lambda x, W: convolution_2d(x, W) ** 2, arrays, rng.normal(size=(2, 3, 3, 3)), grads, dtype=np.float64
    )


def test_an_input_that_needs_no_gradient_gets_none(rng):
    x, W = rng.normal(size=(2, 2, 5, 5)), chainer.Parameter(rng.normal(size=(3, 2, 3, 3)))
    y = F.sum(convolution_2d(x, W))
    y.backward()
    expected = chainer.Parameter(W.array.copy())
    F.sum(F.convolution_2d(x, expected)).backward()
    np.testing.assert_allclose(W.grad, expected.grad)


def test_the_link_has_chainers_parameters_and_results(rng):
    ours, theirs = Convolution2D(None, 3, 3, stride=2, pad=1), L.Convolution2D(None, 3, 3, stride=2, pad=1)
    x = rng.normal(size=(2, 4, 7, 7)).astype(np.float32)
    theirs(x)
    ours(x)  # gives the open number of input channels its value
    ours.copyparams(theirs)
    np.testing.assert_allclose(ours(x).array, theirs(x).array, atol=1e-5)
    assert [(name, p.shape) for name, p in ours.namedparams()] == [(name, p.shape) for name, p in theirs.namedparams()]


@pytest.mark.parametrize("settings", [{"groups": 2}, {"dilate": 2}])
def test_grouped_and_dilated_convolutions_are_chainers_own(rng, settings):
    ours, theirs = Convolution2D(4, 4, 3, **settings), L.Convolution2D(4, 4, 3, **settings)
    ours.copyparams(theirs)
    x = rng.normal(size=(2, 4, 7, 7)).astype(np.float32)
    np.testing.assert_array_equal(ours(x).array, theirs(x).array)


def test_padding_below_zero_is_refused_as_by_chainer():
    with pytest.raises(ValueError, match="negative"):
        convolution_2d(np.ones((1, 4, 16, 16), np.float32), np.ones((4, 4, 3, 3), np.float32), pad=-1)

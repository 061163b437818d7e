"""Fast batch normalisation against Chainer's."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest

from branchynet.functions import batch_normalization, plain_chainer
from branchynet.links import BatchNormalization

from .compare import assert_same_results

SHAPES = [(1, 3, 4, 5), (2, 1, 3, 3), (9, 4, 6, 5), (130, 2, 3, 4)]


def outputs_and_gradients(function, x, gamma, beta, gy):
    """y, running mean and variance, and the gradients of x, gamma and beta."""
    variables = [chainer.Variable(array.copy()) for array in (x, gamma, beta)]
    running = [np.full(len(gamma), 0.5, x.dtype), np.full(len(gamma), 2.0, x.dtype)]
    y = function(*variables, eps=1e-3, running_mean=running[0], running_var=running[1], decay=0.8)
    y.grad = gy
    y.backward()
    return [y.array, *running, *[variable.grad for variable in variables]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_running_statistics_and_gradients_are_chainers(rng, shape, dtype):
    x, gy = ((rng.normal(size=shape) * 3 + 5).astype(dtype) for _ in range(2))
    gamma, beta = rng.normal(size=(2, shape[1])).astype(dtype)
    ours = outputs_and_gradients(batch_normalization, x, gamma, beta, gy)
    theirs = outputs_and_gradients(F.batch_normalization, x, gamma, beta, gy)
    for own, their in zip(ours, theirs):
        assert own.dtype == dtype
        np.testing.assert_allclose(own, their, rtol=1e-3, atol=2e-3 if dtype == np.float32 else 1e-8)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_shortcut", [False, True])
def test_a_shortcut_and_relu_behind_are_chainers(rng, device, with_shortcut, relu):
    x, gamma, beta = (rng.normal(size=s).astype(np.float32) for s in ((9, 4, 6, 5), 4, 4))
    shortcut = [rng.normal(size=x.shape).astype(np.float32)] * with_shortcut

    def ours(x, gamma, beta, *shortcut):
        return batch_normalization(x, gamma, beta, shortcut=shortcut[0] if shortcut else None, relu=relu)

    def theirs(x, gamma, beta, *shortcut):
        y = sum(shortcut, F.batch_normalization(x, gamma, beta))
        return F.relu(y) if relu else y

    assert_same_results(ours, theirs, device, x, gamma, beta, *shortcut, rtol=1e-3, atol=1e-4)


def test_a_large_mean_does_not_hide_a_small_variance(rng):
    x = (1000 + rng.normal(size=(64, 1, 8, 8))).astype(np.float32)
    y = batch_normalization(x, np.ones(1, np.float32), np.zeros(1, np.float32)).array
    assert y.std() == pytest.approx(1, abs=0.02) and abs(y.mean()) < 0.02


@pytest.mark.parametrize("train", [True, False])
def test_the_link_is_chainers_link(rng, train):
    x = rng.normal(size=(6, 3, 4, 4)).astype(np.float32)
    ours, theirs = BatchNormalization(3), L.BatchNormalization(3)
    with chainer.using_config("train", train):
        for _ in range(2):
            np.testing.assert_allclose(ours(x).array, theirs(x).array, atol=1e-5)
        with plain_chainer():
            np.testing.assert_allclose(ours(x).array, theirs(x).array, atol=1e-5)
    np.testing.assert_allclose(ours.avg_mean, theirs.avg_mean, atol=1e-6)
    np.testing.assert_allclose(ours.avg_var, theirs.avg_var, atol=1e-5)


def test_other_shapes_are_refused():
    with pytest.raises(chainer.utils.type_check.InvalidType):
        batch_normalization(np.zeros((2, 3, 4, 4), np.float32), np.ones(2, np.float32), np.zeros(2, np.float32))

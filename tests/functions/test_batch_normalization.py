"""Fast batch normalisation against Chainer's."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest

from branchynet.functions import batch_normalization, plain_chainer
from branchynet.links import BatchNormalization

from .compare import assert_same_results

CPU = chainer.get_device("@numpy")
SHAPES = [(1, 3, 4, 5), (2, 1, 3, 3), (9, 4, 6, 5), (130, 2, 3, 4)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_running_statistics_and_gradients_are_chainers(rng, shape, dtype):
    x, (gamma, beta) = (5 + 3 * rng.normal(size=shape)).astype(dtype), rng.normal(size=(2, shape[1])).astype(dtype)
    running, tolerance = [], {"rtol": 1e-3, "atol": 2e-3 if dtype == np.float32 else 1e-8}

    def normalising(function):
        mean, var = np.full(shape[1], 0.5, dtype), np.full(shape[1], 2.0, dtype)
        running.append((mean, var))
        return lambda *given: function(*given, eps=1e-3, running_mean=mean, running_var=var, decay=0.8)

    functions = [normalising(function) for function in (batch_normalization, F.batch_normalization)]
    assert_same_results(*functions, CPU, x, gamma, beta, **tolerance)
    for own, their in zip(*running):
        assert own.dtype == dtype
        np.testing.assert_allclose(own, their, **tolerance)


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

"""One result for two functions, against Chainer's own sum of their gradients."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from branchynet.functions import fan_out

from .compare import assert_same_results


@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (7,), (1, 1)])
def test_values_and_gradients_are_those_of_x_itself(rng, device, shape):
    def forked(x):
        a, b = fan_out(x)
        return F.exp(a) + F.sin(b)

    def itself(x):
        return F.exp(x) + F.sin(x)

    assert_same_results(forked, itself, device, rng.normal(size=shape).astype(np.float32), rtol=0, atol=0)


@pytest.mark.parametrize("used", [0, 1])
def test_where_one_goes_nowhere_the_gradient_is_the_others(rng, device, used):
    x = rng.normal(size=(3, 2)).astype(np.float32)
    assert_same_results(lambda x: 2 * fan_out(x)[used], lambda x: 2 * x, device, x, rtol=0, atol=0)


def test_second_derivatives_work(rng):
    x, gy, ggx = rng.normal(size=(3, 2, 4)).astype(np.float32)

    def forked(x):
        a, b = fan_out(x)
        return a * b

    gradient_check.check_double_backward(forked, x, gy, ggx, atol=1e-2, rtol=1e-2)


def test_without_gradients_it_costs_nothing(rng):
    x = rng.normal(size=(3, 2)).astype(np.float32)
    with chainer.no_backprop_mode():
        assert all(result is x for result in fan_out(x))

"""The identity whose gradient is scaled."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from branchynet.functions import scale_gradient
from branchynet.machine.devices import to_host


@pytest.mark.parametrize("factor", [0.0, 0.25, 1.0, 3.0])
def test_values_stay_and_the_gradient_is_scaled(device, rng, factor):
    x = chainer.Variable(device.send(rng.normal(size=(3, 2)).astype(np.float32)))
    gy = device.send(rng.normal(size=(3, 2)).astype(np.float32))
    y = scale_gradient(x, factor)
    y.grad = gy
    y.backward()
    np.testing.assert_array_equal(to_host(y.array), to_host(x.array))
    np.testing.assert_array_equal(to_host(x.grad), np.float32(factor) * to_host(gy))


def test_it_scales_what_a_numerical_gradient_says(rng):
    x = chainer.Variable(rng.normal(size=(3, 2)))
    F.sum(scale_gradient(x**3, 0.5)).backward()
    (numerical,) = gradient_check.numerical_grad(lambda: ((x.array**3).sum(),), (x.array,), (np.array(1.0),), eps=1e-4)
    np.testing.assert_allclose(x.grad, 0.5 * numerical, rtol=1e-5)


def test_with_factor_1_it_passes_the_check_of_gradients(rng):
    x, gy = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    gradient_check.check_backward(lambda x: scale_gradient(x, 1), x, gy, dtype=np.float64)


def test_the_gradient_can_be_differentiated_again(rng):
    x = chainer.Variable(rng.normal(size=(4,)))
    (gx,) = chainer.grad([scale_gradient(x, 0.5) ** 2], [x], enable_double_backprop=True)
    (ggx,) = chainer.grad([gx], [x])
    # d(0.5 * 2 s)/dx, where s is x and its own way back is halved again.
    np.testing.assert_allclose(ggx.array, np.full(4, 0.5))


def test_numbers_without_gradient_are_refused():
    with pytest.raises(chainer.utils.type_check.InvalidType):
        scale_gradient(np.arange(3), 0.5)

"""The fast local response normalisation gives Chainer's results, and stays float32."""

import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from branchynet.functions import local_response_normalization

from .compare import assert_same_results


@pytest.mark.parametrize("beta", [0.75, 0.5])
@pytest.mark.parametrize("n", [1, 3, 4, 5])
def test_results_are_chainers(rng, device, n, beta):
    assert_same_results(
        lambda x: local_response_normalization(x, n, 2, 0.05, beta),
        lambda x: F.local_response_normalization(x, n, 2, 0.05, beta),
        device,
        rng.normal(size=(9, 6, 4, 5)).astype(np.float32),
        rtol=1e-5,
        atol=1e-6,
    )


def test_constants_of_another_type_do_not_change_the_type_of_the_result(rng):
    x = rng.normal(size=(2, 4, 3, 3)).astype(np.float32)
    constants = np.float64(2), np.float64(1e-4), np.float64(0.75)
    assert local_response_normalization(x, 3, *constants).dtype == np.float32


def test_gradients_are_those_of_finite_differences(rng):
    x, gy = rng.normal(size=(2, 5, 3, 2)), rng.normal(size=(2, 5, 3, 2))
    gradient_check.check_backward(
        lambda x: local_response_normalization(x, 3, 2, 0.1), x, gy, dtype=np.float64, rtol=1e-3
    )


def test_a_sum_of_no_channels_is_refused():
    with pytest.raises(ValueError, match="expected n >= 1 channels, got -21"):
        local_response_normalization(np.zeros((1, 64, 2, 2), np.float32), -21)

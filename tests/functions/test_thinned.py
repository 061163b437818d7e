"""The shortcut of a residual block that halves the image, against slices and concatenation."""

import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from branchynet.functions import thinned

from .compare import assert_same_results


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("added", [0, 2])
def test_values_and_gradients_are_those_of_slices(rng, device, stride, added):
    x = rng.normal(size=(3, 2, 7, 6)).astype(np.float32)

    def slices(x):
        kept = x[:, :, ::stride, ::stride]
        return F.pad(kept, ((0, 0), (0, added), (0, 0), (0, 0)), "constant")

    assert_same_results(lambda x: thinned(x, stride, added), slices, device, x, rtol=0, atol=0)


def test_second_derivatives_work(rng):
    x, gy, ggx = rng.normal(size=(2, 2, 5, 4)), rng.normal(size=(2, 3, 3, 2)), rng.normal(size=(2, 2, 5, 4))
    gradient_check.check_double_backward(lambda x: thinned(x, 2, 1) ** 2, x, gy, ggx, dtype=np.float64)

"""Strips and threads: how the fast CPU functions share out a batch does not show in the results."""

import chainer
import numpy as np
import pytest

from branchynet.functions import (
    average_pooling_2d,
    batch_normalization,
    convolution_2d,
    local_response_normalization,
    max_pooling_2d,
)
from branchynet.machine import threads

from .compare import outputs_and_gradients

CPU = chainer.get_device("@numpy")
# name: (function, shapes of its arguments)
FUNCTIONS = {
    "average pooling": (lambda x: average_pooling_2d(x, 3, 2), ((21, 3, 9, 9),)),
    "batch normalisation": (batch_normalization, ((21, 3, 9, 9), (3,), (3,))),
    "convolution": (convolution_2d, ((21, 3, 12, 12), (4, 3, 3, 3), (4,))),
    "local response normalisation": (lambda x: local_response_normalization(x, 3, 2, 0.05), ((20, 6, 4, 5),)),
    "max pooling": (lambda x: max_pooling_2d(x, 3, 2), ((21, 3, 9, 9),)),
}


def results_of(name):
    function, shapes = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    return outputs_and_gradients(function, CPU, *(rng.normal(size=shape).astype(np.float32) for shape in shapes))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_do_not_depend_on_the_number_of_threads(name):
    with threads.limited(1):
        one = results_of(name)
    for n_threads in (2, 3):
        with threads.limited(n_threads):
            several = results_of(name)
        for a, b in zip(one, several):
            np.testing.assert_array_equal(a, b)

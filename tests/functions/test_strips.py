"""Strips, chunks and threads: what the fast CPU functions do with a batch does not show in the results."""

import chainer
import numpy as np
import pytest

from branchynet.functions import batch_normalization, convolution_2d, local_response_normalization, max_pooling_2d
from branchynet.machine import memory, threads

from .compare import outputs_and_gradients

CPU = chainer.get_device("@numpy")
# name: (function, shapes of its arguments)
FUNCTIONS = {
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


# Sums over the batch are added up in another order; the other functions are the same to the bit.
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("batch normalisation", 1e-4), ("convolution", 1e-4), ("local response normalisation", 0), ("max pooling", 0)],
)
def test_results_do_not_depend_on_the_size_of_chunks(name, tolerance, monkeypatch):
    whole = results_of(name)
    monkeypatch.setattr(memory, "CHUNK_BYTES", 1)
    for a, b in zip(whole, results_of(name)):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

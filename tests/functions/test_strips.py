"""Strips and threads: how the fast CPU functions share out a batch does not show in the results."""

import math
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import chainer
import numpy as np
import pytest

from branchynet.functions import (
    average_pooling_2d,
    batch_normalization,
    convolution_2d,
    fan_out,
    kernels,
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
    "convolution by tiles": (lambda *given: convolution_2d(*given, pad=1), ((21, 16, 6, 6), (20, 16, 3, 3), (20,))),
    "fan out": (lambda x: math.prod(fan_out(x)), ((21, 3, 5),)),
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


@pytest.mark.parametrize("n_samples", [1, 2, 31, 32, 33, 256, 100_003])
def test_strips_are_the_batch_one_after_the_other_with_small_ones_in_the_middle(n_samples):
    bounds = list(kernels.strip_bounds(n_samples))
    sizes = np.diff(bounds)
    assert (bounds[0], bounds[-1]) == (0, n_samples)
    assert sizes.min() >= 1
    assert sizes.max() <= max(1, -(-n_samples // 8))
    assert sizes[len(sizes) // 2] <= max(1, -(-n_samples // 32))


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 2, 37), (12, 4, 9, 16)])
def test_the_total_of_strips_is_that_of_adding_them_in_their_order(rng, shape):
    strips = rng.normal(size=shape).astype(np.float32)
    expected = np.zeros(shape[1:], np.float32)
    for strip in strips:
        expected += strip
    with threads.limited(2):
        np.testing.assert_array_equal(kernels.total_of(strips), expected)


@pytest.mark.parametrize("n_samples", [0, 1, 3, 8, 37])
def test_every_sample_is_computed(rng, n_samples):
    y, gy = rng.normal(size=(2, n_samples, 5)).astype(np.float32)
    g = np.full_like(gy, np.nan)
    with threads.limited(3):
        kernels.call_strips("mask", n_samples, 5, y, gy, g)
    np.testing.assert_array_equal(g, gy * (y > 0))


def test_several_callers_at_once_get_what_one_gets():
    with threads.limited(2), ThreadPoolExecutor(4) as pool:
        expected = results_of("convolution")
        for found in pool.map(lambda _: results_of("convolution"), range(40)):
            for a, b in zip(expected, found):
                np.testing.assert_array_equal(a, b)


def test_a_kernel_without_memory_is_an_error(monkeypatch):
    fails = SimpleNamespace(branchynet_share=lambda *given: -1, branchynet_mask=None)
    monkeypatch.setattr(kernels, "_library", lambda: fails)
    with pytest.raises(MemoryError, match="mask: no memory for the work on 3 samples"):
        kernels.call_strips("mask", 3)


def test_more_sums_than_a_strip_has_room_for_are_refused(rng):
    x = rng.normal(size=(3, 2)).astype(np.float32)
    with pytest.raises(IndexError):
        kernels.call_strips("mask", 3, 2, x, x, x, sums=[(2, np.float64)] * 4)


def _compute_in_a_child(connection):
    connection.send(results_of("convolution"))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
def test_threads_work_in_a_forked_child():
    context = multiprocessing.get_context("fork")
    with threads.limited(2):
        expected = results_of("convolution")
        ours, theirs = context.Pipe()
        child = context.Process(target=_compute_in_a_child, args=(theirs,), daemon=True)
        child.start()
        assert ours.poll(30), "the child hangs"
        for a, b in zip(expected, ours.recv()):
            np.testing.assert_array_equal(a, b)
        child.join()

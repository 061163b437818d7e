"""Chainer's own functions: on request, and where there is no C compiler."""

import numpy as np
import pytest

from branchynet import functions
from branchynet.errors import CompileError
from branchynet.functions import kernels
from branchynet.links import Convolution2D


def labels_of_graph(rng):
    x = rng.normal(size=(2, 3, 6, 6)).astype(np.float32)
    link = Convolution2D(3, 4, 3)
    results = [link(x), functions.max_pooling_2d(x, 2), functions.local_response_normalization(x)]
    return {type(result.creator).__module__.split(".")[0] for result in results}


def test_plain_chainer_is_chainers_own_for_the_block_only(rng):
    assert labels_of_graph(rng) == {"branchynet"}
    with functions.plain_chainer():
        assert labels_of_graph(rng) == {"chainer"}
    assert labels_of_graph(rng) == {"branchynet"}


def test_without_a_compiler_chainers_functions_compute_and_a_warning_says_so_once(rng, monkeypatch):
    def fail(source):
        raise CompileError("no C compiler is here")

    kernels._library.cache_clear()
    monkeypatch.setattr(kernels, "load_library", fail)
    try:
        with pytest.warns(UserWarning, match="Chainer's own functions.*no C compiler is here") as warnings:
            assert labels_of_graph(rng) == labels_of_graph(rng) == {"chainer"}
        assert len(warnings) == 1
    finally:
        kernels._library.cache_clear()

"""Chainer's own functions, on request."""

import numpy as np

from branchynet import functions
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

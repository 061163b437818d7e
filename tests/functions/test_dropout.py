"""Dropout that several processes draw alike."""

import chainer
import numpy as np
import pytest

from branchynet.functions import dropout
from branchynet.processes import Share


def draw(x, share=None, ratio=0.3):
    np.random.seed(5)  # noqa: NPY002  (Chainer's dropout draws from the global generator)
    with chainer.using_config("branchynet_share", share), chainer.using_config("train", True):
        return dropout(x, ratio).array


def test_alone_it_is_chainers():
    x = np.ones((4, 3), dtype=np.float32)
    np.random.seed(5)  # noqa: NPY002
    with chainer.using_config("train", True):
        expected = chainer.functions.dropout(x, 0.3).array
    np.testing.assert_array_equal(draw(x), expected)


def test_the_shares_of_a_batch_drop_what_the_whole_batch_drops(rng):
    x = rng.normal(size=(5, 40)).astype(np.float32)
    parts = [draw(x[start:stop], Share(start, stop, 5, 1.0)) for start, stop in ((0, 2), (2, 5))]
    np.testing.assert_array_equal(np.concatenate(parts), draw(x))
    assert (np.concatenate(parts) == 0).any()


@pytest.mark.parametrize("share", [None, Share(0, 2, 4, 1.0)])
def test_nothing_is_dropped_in_inference(share):
    x = np.ones((2, 3), dtype=np.float32)
    with chainer.using_config("branchynet_share", share), chainer.using_config("train", False):
        np.testing.assert_array_equal(chainer.as_array(dropout(x, 0.9)), x)

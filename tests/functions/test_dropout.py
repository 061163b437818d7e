"""Dropout that several workers draw alike."""

import chainer
import numpy as np
import pytest

from branchynet.functions import drawn_for, dropout
from branchynet.machine.workers import Shard


def draw(x, shard=None, train=True):
    np.random.seed(5)  # noqa: NPY002  (Chainer's dropout draws from the global generator)
    with drawn_for(shard), chainer.using_config("train", train):
        return chainer.as_array(dropout(x, 0.3))


def test_alone_it_is_chainers():
    x = np.ones((4, 3), dtype=np.float32)
    np.random.seed(5)  # noqa: NPY002
    with chainer.using_config("train", True):
        expected = chainer.functions.dropout(x, 0.3).array
    np.testing.assert_array_equal(draw(x), expected)


def test_the_shards_of_a_batch_drop_what_the_whole_batch_drops(rng):
    x = rng.normal(size=(5, 40)).astype(np.float32)
    parts = [draw(x[start:stop], Shard(start, stop, 5, 1.0)) for start, stop in ((0, 2), (2, 5))]
    np.testing.assert_array_equal(np.concatenate(parts), draw(x))
    assert (np.concatenate(parts) == 0).any()


@pytest.mark.parametrize("shard", [None, Shard(0, 2, 4, 1.0)])
def test_nothing_is_dropped_in_inference(shard):
    x = np.ones((2, 3), dtype=np.float32)
    np.testing.assert_array_equal(draw(x, shard, train=False), x)

"""Dropout that several workers draw alike."""

import chainer
import numpy as np
import pytest

from branchynet.functions import drawn_for, dropout
from branchynet.machine.devices import to_host
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


def test_the_masks_of_a_gpu_follow_from_step_call_and_number_alone(device, rng):
    """Of no generator's state: shards, steps and resumed runs agree."""
    if device.xp is np:
        pytest.skip("on the CPU masks come from NumPy's generator")
    x = device.xp.ones((6, 1000), np.float32)

    def masks(shard, step):
        with drawn_for(shard, step), chainer.using_config("train", True):
            return [to_host(dropout(x[shard.rows], 0.25).array) for _ in range(2)]

    whole = masks(Shard(0, 6, 6, 1.0), 7)
    for ours, theirs in zip(masks(Shard(2, 5, 6, 1.0), 7), whole):
        np.testing.assert_array_equal(ours, theirs[2:5])
    assert set(np.unique(whole[0])) == {0, np.float32(1 / 0.75)}
    assert abs((whole[0] == 0).mean() - 0.25) < 0.03
    others = [whole[1], masks(Shard(0, 6, 6, 1.0), 8)[0], np.roll(whole[0], 1)]
    assert all(abs(((whole[0] == 0) == (other == 0)).mean() - 0.625) < 0.03 for other in others), "they are independent"

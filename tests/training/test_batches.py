"""The order of samples."""

import numpy as np

from branchynet.datasets import Samples
from branchynet.training import ShuffledBatches


def test_a_pass_shows_every_sample_once_in_an_order_of_its_own():
    labels = np.arange(10, dtype=np.int32)[::-1].copy()
    samples = Samples(np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), labels)
    batches = ShuffledBatches(samples, 4, lambda x: x.astype(np.float32), seed=1)
    passes = [[next(batches) for _ in range(batches.batches_per_epoch)] for _ in range(2)]
    orders = [[int(v) for x, _ in batch_list for v in x.ravel()] for batch_list in passes]
    assert [len(x) for x, _ in passes[0]] == [4, 4, 2]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    assert batches.epoch == 2 and batches.is_new_epoch
    shown = [int(label) for _, t in passes[0] for label in t]
    np.testing.assert_array_equal(shown, labels[orders[0]])

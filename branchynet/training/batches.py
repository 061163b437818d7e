"""Mini-batches whose order follows from the seed and the epoch alone."""

import chainer
import numpy as np

from branchynet.machine.workers import Workers


class ShuffledBatches(chainer.dataset.Iterator):
    """Passes over the samples, each in a new order; the last batch of a pass may be smaller.

    The order of a pass is drawn from (seed, epoch). So the state of the iterator is two numbers, and a resumed run sees
    the batches that the killed one would have seen.

    Args:
        samples: `branchynet.datasets.Samples`, uint8 images and their labels.
        batch_size: samples a batch.
        transform: images (n, C, H, W) uint8 -> (n, C, H, W) float32.
        seed: int >= 0.
        augment: None, or (images uint8, numpy Generator) -> images uint8.
        workers: `branchynet.machine.workers.Workers`; this one gets its shard of each batch.

    Attributes:
        shard: `branchynet.machine.workers.Shard` of the batch that came last.

    Yields:
        (x (n, C, H, W) float32, t (n,) int32)
    """

    def __init__(self, samples, batch_size, transform, seed=0, augment=None, workers=None):
        self.images, self.labels = samples.images, samples.labels
        self.batch_size = batch_size
        self.transform, self.augment = transform, augment
        self.seed = seed
        self.workers = workers or Workers()
        self.shard = None
        self.epoch = 0
        self.position = 0
        self.is_new_epoch = False
        self.previous_epoch_detail = 0.0
        self._order_epoch, self._order = None, None

    @property
    def batches_per_epoch(self) -> int:
        """Batches in one pass, the last smaller one included."""
        return -(-len(self.images) // self.batch_size)

    @property
    def epoch_detail(self) -> float:
        """Passes made, as a fraction within the current one."""
        return self.epoch + self.position / len(self.images)

    def __next__(self):
        self.previous_epoch_detail = self.epoch_detail
        rows = self._epoch_order()[self.position : self.position + self.batch_size]
        images = self.images[rows]
        if self.augment is not None:
            images = self.augment(images, np.random.default_rng((self.seed, self.epoch, self.position)))
        self.position += len(rows)
        self.is_new_epoch = self.position >= len(self.images)
        if self.is_new_epoch:
            self.epoch, self.position = self.epoch + 1, 0
        # The whole batch is augmented before it is shared out: samples do not depend on the number of workers.
        self.shard = self.workers.shard(len(rows))
        return self.transform(images[self.shard.rows]), self.labels[rows[self.shard.rows]]

    next = __next__

    def serialize(self, serializer):
        """Saves or restores the place in the sequence of batches."""
        self.epoch = serializer("epoch", self.epoch)
        self.position = serializer("position", self.position)
        self.is_new_epoch = serializer("is_new_epoch", self.is_new_epoch)
        self.previous_epoch_detail = serializer("previous_epoch_detail", self.previous_epoch_detail)

    def _epoch_order(self):
        if self._order_epoch != self.epoch:
            self._order_epoch = self.epoch
            self._order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.images))
        return self._order

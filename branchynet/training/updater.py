"""One training step: one forward pass, one backward pass, one update by every optimizer."""

import contextlib
import math

import chainer
import numpy as np

from branchynet.errors import TrainingError
from branchynet.functions import drawn_for
from branchynet.machine.devices import as_floats
from branchynet.machine.workers import Workers
from branchynet.training.averaging import WeightAverage


class JointUpdater(chainer.training.updaters.StandardUpdater):
    """Moves every part of the network by its own optimizer, on the gradients of one loss.

    In the authors' code each exit has a copy of the trunk, and the gradients of all copies are added up before the
    trunk's optimizer moves it. Here every layer exists once, and one backward pass adds them up by itself.

    Args:
        iterator: `ShuffledBatches`.
        loss: `PlainLoss` or `JointLoss`.
        settings: `TrainingSettings`.
        n_iterations: steps of the whole phase, for the schedule.
        device: chainer device of the network.
        workers: `branchynet.machine.workers.Workers` that train together; the iterator deals out their shards.
    """

    def __init__(self, iterator, loss, settings, n_iterations, device, workers=None):
        optimizers = {name: settings.adam(target) for name, target in loss.targets().items()}
        super().__init__(iterator, optimizers, loss_func=loss, device=device)
        self.settings = settings
        self.n_iterations = n_iterations
        self.workers = workers or Workers()
        self.average = WeightAverage(loss.targets(), settings.average) if settings.average else None

    def update_core(self):
        """Runs one step."""
        x, t = (self.device.send(array) for array in self.get_iterator("main").next())
        # Dropout draws from the global generators; seeding each step makes its masks depend on the step alone, so
        # that a resumed run draws what the killed one would have drawn.
        _seed_global_generators(self.device.xp, self.settings.seed, self.iteration)
        alpha = self.settings.alpha_at(self.iteration, self.n_iterations)
        for optimizer in self.get_all_optimizers().values():
            self.settings.set_alpha(optimizer, alpha)
            optimizer.target.cleargrads()
        shard = self.get_iterator("main").shard
        loss = self._reported_loss(x, t, shard)
        # Shards of unequal size: each counts for its samples in the mean over the workers.
        loss.grad = self.device.xp.full_like(loss.array, shard.weight)
        loss.backward()
        for optimizer in self.get_all_optimizers().values():
            self.workers.mean_gradients(optimizer.target)
            optimizer.update()
        if self.average is not None:
            self.average.update(self.iteration)

    def serialize(self, serializer):
        """Saves or loads the state of the training, the average of the weights included."""
        super().serialize(serializer)
        if self.average is not None:
            self.average.serialize(serializer["average"])

    def evaluated(self):
        """A context in which the network has the weights that are the result: their average, where there is one."""
        return contextlib.nullcontext() if self.average is None else self.average.exchanged()

    def _reported_loss(self, x, t, shard):
        """The loss of this worker's shard. What is reported, and checked, is the mean over all workers."""
        reporter, reports = chainer.Reporter(), {}
        with reporter.scope(reports), drawn_for(shard, (self.settings.seed << 24) + self.iteration):
            loss = self.loss_func(x, t, shard.weight)
        reports = {"loss": (loss.array, shard.weight), **reports}
        values, weights = as_floats([value for value, _ in reports.values()]), [n for _, n in reports.values()]
        if shard.weight == 0:
            weights = [0] * len(values)
        means = self.workers.mean(dict(zip(reports, zip(values, weights))))
        self._check_finite(means.pop("loss")[0])
        # The numbers of samples stay whole: Chainer reads a summary that was saved within an epoch back as such.
        chainer.report({name: (value, round(n_samples)) for name, (value, n_samples) in means.items()})
        return loss

    def _check_finite(self, loss):
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at iteration {self.iteration + 1} (epoch {self.epoch + 1}): try a smaller "
                f"learning rate (alpha is {self.settings.alpha:g}) or smaller loss weights; the last snapshot is kept"
            )


def _seed_global_generators(xp, seed, iteration):
    if xp is np:
        np.random.seed([seed, iteration])  # noqa: NPY002
    else:
        xp.random.seed((seed * 1_000_003 + iteration) % 2**32)

"""One training step: one forward pass, one backward pass, one update by every optimizer."""

from __future__ import annotations

import math

import chainer
import numpy as np

from branchynet.errors import TrainingError
from branchynet.processes import Processes


class JointUpdater(chainer.training.updaters.StandardUpdater):
    """Moves every part of the network by its own optimizer, on the gradients of one loss.

    In the authors' code each exit has a copy of the trunk, and the copies' gradients are added up before the trunk's
    optimizer moves it. Where every layer exists once, one backward pass adds them up by itself.

    Args:
        iterator: `ShuffledBatches`.
        loss: `MainLoss` or `JointLoss`.
        settings: `TrainingSettings`.
        n_iterations: steps of the whole phase, for the schedule.
        device: chainer device of the network.
        processes: those that train together; the iterator deals out their shares.
    """

    def __init__(self, iterator, loss, settings, n_iterations, device, processes=None):
        optimizers = {name: settings.adam(target) for name, target in loss.targets().items()}
        super().__init__(iterator, optimizers, loss_func=loss, device=device)
        self.settings = settings
        self.n_iterations = n_iterations
        self.processes = processes or Processes()

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
        share = self.get_iterator("main").share
        loss = self._reported_loss(x, t, share)
        # Shares of unequal size: each counts for its samples in the mean over the processes.
        loss.grad = self.device.xp.full_like(loss.array, share.weight)
        loss.backward()
        for optimizer in self.get_all_optimizers().values():
            self.processes.mean_gradients(optimizer.target)
            optimizer.update()

    def serialize(self, serializer):
        """Saves or restores networks, optimizers, iterator, and what the training leaves as it is but relies on."""
        super().serialize(serializer)
        for name, link in self.loss_func.frozen().items():
            link.serialize(serializer[f"frozen:{name}"])

    def _reported_loss(self, x, t, share):
        """The loss of this process's share; what is reported, and checked, is the mean over all."""
        reporter, reports = chainer.Reporter(), {}
        with reporter.scope(reports), chainer.using_config("branchynet_share", share):
            loss = self.loss_func(x, t)
        if share.weight == 0:
            reports = {name: (value, 0) for name, (value, _) in reports.items()}
        means = self.processes.mean({"loss": (float(loss.array), share.weight), **reports})
        self._check_finite(means.pop("loss")[0])
        # Numbers of samples are whole: a summary that is saved in the middle of an epoch is read back as such.
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

"""The settings of one training phase, and the learning-rate schedule they name."""

from __future__ import annotations

import dataclasses
import math

import chainer

from branchynet.training.loss import TRAINS
from branchynet.training.weightings import weighting_names

SCHEDULES = ("constant", "one-cycle")
# One-cycle (Smith and Topin, arXiv 1708.07120): the share of the steps that warm up, and where alpha starts and ends
# as a share of its peak.
_WARM_UP_SHARE = 0.25
_START_SHARE = 0.1
_END_SHARE = 0.002


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """The settings of one phase. The defaults reach the paper's accuracy in minutes; `paper` gives the paper's own.

    Attributes:
        epochs: passes over the training samples.
        batch_size: samples a step.
        alpha, beta1, beta2: Adam's constants; alpha is the peak of the schedule.
        schedule: "one-cycle" or "constant".
        weight_decay: >= 0; each step takes that share, times alpha, off every weight, beside Adam's own step (AdamW,
            arXiv 1711.05101); not off biases and the parameters of batch normalisation. 0 is the paper's.
        keep: joint training only: the share in (0, 1] of the samples, the least confident, that the exits after an
            early exit train on; one number for all early exits or one for each (the authors' percentTrainKeeps).
        seed: orders the samples and draws dropout masks.
        weighting: joint training only: the name of a weighting of the exits' losses (`branchynet.training.weightings`);
            None is the paper's loss.
        loss_weights: joint training only: weights of the exits' losses, the last exit last, in place of those of the
            branches.
        trains: joint training only: "joint", or "heads" to train the exits on a frozen trunk.
    """

    epochs: int
    batch_size: int = 256
    alpha: float = 3e-3
    beta1: float = 0.9
    beta2: float = 0.999
    schedule: str = "one-cycle"
    weight_decay: float = 0.0
    keep: float | tuple = 1.0
    seed: int = 0
    weighting: str | None = None
    loss_weights: tuple | None = None
    trains: str = "joint"

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if self.weighting is not None and self.weighting not in weighting_names():
            raise ValueError(f"weighting: expected one of {', '.join(weighting_names())}, got {self.weighting!r}")
        if self.trains not in TRAINS:
            raise ValueError(f"trains: expected one of {', '.join(TRAINS)}, got {self.trains!r}")
        if not self.alpha > 0:
            raise ValueError(f"alpha: expected a learning rate > 0, got {self.alpha}")
        if not 0 <= self.weight_decay * self.alpha < 1:
            raise ValueError(f"weight_decay: expected a number >= 0 and below 1 / alpha, got {self.weight_decay}")

    @classmethod
    def defaults(cls) -> dict:
        """{name: default} of the settings that have one: what a description that lacks a setting was run with."""
        fields = dataclasses.fields(cls)
        return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}

    @classmethod
    def paper(cls, epochs, batch_size=512, seed=0):
        """The paper's constants (section IV-A): Adam with alpha 0.001, beta1 0.99, beta2 0.999, batches of 512."""
        return cls(epochs, batch_size=batch_size, alpha=1e-3, beta1=0.99, beta2=0.999, schedule="constant", seed=seed)

    def alpha_at(self, iteration: int, n_iterations: int) -> float:
        """Adam's alpha for a step, from the number of the step alone, so that a resumed run has nothing to restore.

        Args:
            iteration: 0 for the first step.
            n_iterations: steps of the whole phase.
        """
        if self.schedule == "constant":
            return self.alpha
        progress = iteration / max(n_iterations - 1, 1)
        if progress < _WARM_UP_SHARE:
            return self.alpha * (_START_SHARE + (1 - _START_SHARE) * progress / _WARM_UP_SHARE)
        descent = (progress - _WARM_UP_SHARE) / (1 - _WARM_UP_SHARE)
        return self.alpha * (_END_SHARE + (1 - _END_SHARE) * (1 + math.cos(math.pi * descent)) / 2)

    def adam(self, target) -> chainer.optimizers.Adam:
        """An Adam optimizer with these constants for the parameters of `target` (Kingma and Ba, arXiv 1412.6980)."""
        optimizer = chainer.optimizers.Adam(alpha=self.alpha, beta1=self.beta1, beta2=self.beta2).setup(target)
        self.set_alpha(optimizer, self.alpha)
        for param in target.params():
            if param.array is not None and param.ndim < 2:  # biases, and the scales of batch normalisation
                param.update_rule.hyperparam.weight_decay_rate = 0.0
        return optimizer

    def set_alpha(self, optimizer, alpha: float) -> None:
        """Sets alpha for an optimizer's next step, and the weight decay that goes with it."""
        optimizer.alpha = alpha
        optimizer.weight_decay_rate = alpha * self.weight_decay

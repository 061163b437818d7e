"""The settings of one training phase, and the learning-rate schedule they name."""

from __future__ import annotations

import dataclasses
import math
import numbers

import chainer

from branchynet.errors import TrainingError
from branchynet.gate import is_real, shown
from branchynet.training.weightings import WEIGHTINGS

SCHEDULES = ("constant", "one-cycle")
# One-cycle (Smith and Topin, arXiv 1708.07120): the share of the steps that warm up, and where alpha starts and ends
# as a share of its peak.
_WARM_UP_SHARE = 0.25
_START_SHARE = 0.1
_END_SHARE = 0.002
# name: (type, condition, what is expected).
_RULES = {
    "epochs": (int, lambda n: 1 <= n < 2**31, "a whole number >= 1 and < 2**31"),
    "batch_size": (int, lambda n: 1 <= n < 2**31, "a whole number >= 1 and < 2**31"),
    "alpha": (float, lambda alpha: 0 < alpha < math.inf, "a finite learning rate > 0"),
    "beta1": (float, lambda beta: 0 <= beta < 1, "a number in [0, 1)"),
    "beta2": (float, lambda beta: 0 <= beta < 1, "a number in [0, 1)"),
    "weight_decay": (float, lambda decay: 0 <= decay < math.inf, "a finite number >= 0"),
    "seed": (int, lambda n: 0 <= n < 2**32, "a whole number in [0, 2**32)"),
    "average": (float, lambda decay: 0 <= decay < 1, "a number in [0, 1)"),
    "freeze_trunk": (bool, lambda flag: True, "True or False"),
}
_SHARE = (float, lambda share: 0 < share <= 1, "shares in (0, 1]")
_LOSS_WEIGHT = (float, lambda weight: 0 <= weight < math.inf, "finite numbers >= 0, not all 0")
_KINDS = {int: numbers.Integral, float: numbers.Real, bool: bool}


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """The settings of one phase. The defaults reach the paper's accuracy in minutes; `paper` gives the paper's own.

    Attributes:
        epochs: passes over the training samples, at least 1.
        batch_size: samples a step, at least 1.
        alpha, beta1, beta2: Adam's constants; alpha is the peak of the schedule.
        schedule: "one-cycle" or "constant".
        weight_decay: >= 0; each step takes that share, times alpha, off every weight, beside Adam's own step (AdamW,
            arXiv 1711.05101); not off biases and the parameters of batch normalisation. 0 is the paper's.
        keep: joint training only: the share in (0, 1] of the samples, the least confident, that the exits after an
            early exit train on; one number for all early exits or one for each (the authors' percentTrainKeeps).
        seed: orders the samples and draws dropout masks; in [0, 2**32).
        weighting: joint training only: the name of a weighting of the exits' losses (`branchynet.training.weightings`);
            None is the paper's loss.
        loss_weights: joint training only: weights of the exits' losses, the last exit last, in place of those of the
            branches.
        freeze_trunk: joint training only: train the exits alone, on the trunk as it is.
        average: decay in [0, 1) of the moving average of the weights that is validated, and is the result, in place of
            the weights of the last step (`branchynet.training.averaging`); 0 for none.

    Raises:
        TrainingError: a setting is of another type or out of its range.
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
    freeze_trunk: bool = False
    average: float = 0.0

    def __post_init__(self):
        checked = {name: _checked(name, getattr(self, name), *rule) for name, rule in _RULES.items()}
        checked |= {"keep": checked_keep(self.keep), "loss_weights": checked_loss_weights(self.loss_weights)}
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.schedule not in SCHEDULES:
            raise TrainingError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {shown(self.schedule)}")
        if self.weighting is not None:
            WEIGHTINGS.get(self.weighting)
        if not self.weight_decay * self.alpha < 1:
            raise TrainingError(f"weight_decay: expected a number below 1 / alpha, got {self.weight_decay}")

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


def checked_keep(keep):
    """`TrainingSettings.keep` as a float or a tuple of floats; TrainingError if it is neither."""
    if isinstance(keep, (tuple, list)):
        return tuple(_checked("keep", share, *_SHARE) for share in keep)
    return _checked("keep", keep, *_SHARE)


def checked_loss_weights(weights):
    """`TrainingSettings.loss_weights` as a tuple of floats or None; TrainingError if it is neither."""
    if weights is None:
        return None
    values = weights if isinstance(weights, (tuple, list)) else ()
    values = tuple(_checked("loss_weights", weight, *_LOSS_WEIGHT) for weight in values)
    if not any(values):
        raise TrainingError(f"loss_weights: expected a tuple of {_LOSS_WEIGHT[-1]}, got {shown(weights)}")
    return values


def _checked(name, value, kind, holds, expected):
    """The value as Python's own int, float or bool, which goes into JSON as it is."""
    is_kind = isinstance(value, bool) == (kind is bool) and isinstance(value, _KINDS[kind])
    if not is_kind or not holds(value) or not (kind is bool or is_real(value)):
        raise TrainingError(f"{name}: expected {expected}, got {shown(value)}")
    return kind(value)

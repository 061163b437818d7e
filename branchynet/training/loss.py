"""The losses of the two training steps (paper, section III-B), each reporting every term it is made of."""

from __future__ import annotations

import math
import numbers

import chainer
import chainer.functions as F

from branchynet.confidence import entropy
from branchynet.errors import TrainingError
from branchynet.links import apply_layers
from branchynet.training.weightings import ExitOutput, make_weighting

TRAINS = ("joint", "heads")


class MainLoss:
    """Softmax cross-entropy of the last exit alone: pre-training of the main network, without branches."""

    def __init__(self, net):
        self.net = net
        self.plain_net = net.baseline()

    def targets(self) -> dict:
        """The parts of the network that this loss moves, each with an optimizer of its own."""
        return {"trunk": self.net.trunk, f"exit{self.net.n_exits}": self.net.exits[-1]}

    def frozen(self) -> dict:
        """The parts of the network that the answers of these exits depend on, but that this loss does not move."""
        return {}

    def logits(self, x) -> dict:
        """Logits (N, n_classes) of the exits that this loss trains, by the number of the exit, 1 for the first."""
        return {self.net.n_exits: self.plain_net(x)}

    def __call__(self, x, t):
        """x (N, C, H, W) float32, t (N,) int32 -> loss (), a Variable."""
        exit_output = ExitOutput(self.net.n_exits, self.plain_net(x), t)
        _report(exit_output)
        return exit_output.cross_entropy


class JointLoss:
    """``L = sum_n w_n L_n``, the weighted sum of the losses of all exits, from one pass over the trunk.

    L_n is the cross-entropy of exit n, unless a weighting makes another loss of it.

    Args:
        net: a `BranchyNet`.
        keep: share in (0, 1] of the samples that the exits after an early exit train on: the least confident there.
            One number for all early exits, or one for each. 1 trains every exit on every sample.
        weighting: what `branchynet.training.weightings.make_weighting` takes; None is the paper's loss.
        loss_weights: w_n >= 0, one for each exit, the last exit last; None for the weights of the branches.
        trains: "joint" for trunk and exits; "heads" for the exits alone, on a frozen trunk: its parameters and its
            running statistics stay, and it computes as in inference.

    Raises:
        TrainingError: one of them does not fit the network or another one.
    """

    def __init__(self, net, keep=1.0, weighting=None, loss_weights=None, trains="joint"):
        self.net = net
        n_early = net.n_exits - 1
        self.keep = (float(keep),) * n_early if isinstance(keep, numbers.Real) else tuple(keep)
        if len(self.keep) != n_early:
            raise TrainingError(f"keep: expected 1 share or {n_early} (one for each early exit), got {len(self.keep)}")
        if not all(0 < share <= 1 for share in self.keep):
            raise TrainingError(f"keep: expected shares in (0, 1], got {self.keep}")
        if trains not in TRAINS:
            raise TrainingError(f"trains: expected one of {', '.join(TRAINS)}, got {trains!r}")
        self.trains = trains
        self.loss_weights = _checked_loss_weights(loss_weights, net)
        self.weighting = make_weighting(weighting, net)
        self._check_weighting()

    @classmethod
    def of(cls, net, settings):
        """The loss that a `TrainingSettings` asks for."""
        return cls(net, settings.keep, settings.weighting, settings.loss_weights, settings.trains)

    def targets(self) -> dict:
        """The parts of the network that this loss moves, and the weighting's own, each with an optimizer of its own."""
        trunk = {"trunk": self.net.trunk} if self.trains == "joint" else {}
        branches = {f"exit{number}": branch for number, branch in enumerate(self.net.exits, start=1)}
        weighting = {} if self.weighting.link is None else {"weighting": self.weighting.link}
        return {**trunk, **branches, **weighting}

    def frozen(self) -> dict:
        """The parts of the network that the answers of the exits depend on, but that this loss does not move."""
        return {} if self.trains == "joint" else {"trunk": self.net.trunk}

    def logits(self, x) -> dict:
        """Logits (N, n_classes) of the exits that this loss trains, by the number of the exit, 1 for the first."""
        return dict(enumerate(self.net(x), start=1))

    def __call__(self, x, t):
        """x (N, C, H, W) float32, t (N,) int32 -> loss (), a Variable.

        What is reported of each exit is its plain cross-entropy, whatever the weighting.
        """
        exits = self._exit_outputs(x, t)
        losses = self.weighting.losses(exits)
        if len(losses) != len(exits):
            raise TrainingError(f"weighting: expected {len(exits)} losses (one for each exit), got {len(losses)}")
        total = 0
        for exit_output, weight, loss in zip(exits, self.loss_weights or self.net.loss_weights, losses):
            total += weight * loss
            _report(exit_output)
        return total

    def _exit_outputs(self, x, t):
        exits = []
        for number, (trunk_piece, head) in enumerate(self.net.segments(), start=1):
            x = self._trunk_piece(trunk_piece, x)
            into_head, x = self.weighting.at_exit_point(x, number)
            exits.append(self._exit_output(number, head, into_head, t))
            if number < self.net.n_exits and self.keep[number - 1] < 1:
                rows = _least_confident(exits[-1].logits.array, self.keep[number - 1])
                x, t = F.get_item(x, rows), t[rows]
        return exits

    def _trunk_piece(self, layers, x):
        if self.trains == "joint":
            return apply_layers(layers, x)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return apply_layers(layers, x)

    def _exit_output(self, number, head, h, t):
        if not self.weighting.needs_features:
            return ExitOutput(number, apply_layers(head, h), t)
        *below, last = head
        h = chainer.as_variable(apply_layers(below, h))
        return ExitOutput(number, last(h), t, features=h)

    def _check_weighting(self):
        name = type(self.weighting).__name__
        if self.weighting.needs_all_samples and min(self.keep, default=1) < 1:
            raise TrainingError(f"{name}: expected keep = 1 (every exit sees every sample), got {self.keep}")
        for number, branch in enumerate(self.net.exits, start=1):
            last = branch.layers[-1]
            if self.weighting.needs_features and not isinstance(last, chainer.links.Linear):
                raise TrainingError(
                    f"{name}: expected every exit to end in a Linear, got {type(last).__name__} at exit {number}"
                )


def _checked_loss_weights(loss_weights, net):
    if loss_weights is None:
        return None
    if len(loss_weights) != net.n_exits:
        raise TrainingError(f"loss weights: expected {net.n_exits} (one for each exit), got {len(loss_weights)}")
    if not all(0 <= weight < math.inf for weight in loss_weights) or not any(loss_weights):
        raise TrainingError(f"loss weights: expected finite numbers >= 0, not all 0, got {tuple(loss_weights)}")
    return tuple(loss_weights)


def _report(exit_output):
    number, logits, t = exit_output.number, exit_output.logits, exit_output.t
    accuracy = (logits.array.argmax(axis=1) == t).mean()
    n_samples = len(t)
    chainer.report(
        {
            f"exit{number}/loss": (float(exit_output.cross_entropy.array), n_samples),
            f"exit{number}/accuracy": (float(accuracy), n_samples),
        }
    )


def _least_confident(logits, share):
    """Rows of the samples with the highest entropy, in their order; at least one."""
    xp = chainer.backend.get_array_module(logits)
    n_kept = math.ceil(share * len(logits))
    return xp.sort(xp.argsort(entropy(logits))[len(logits) - n_kept :])

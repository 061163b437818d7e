"""The losses of the two training steps (paper, section III-B), each reporting every term it is made of."""

import math

import chainer
import chainer.functions as F

from branchynet.confidence import entropy
from branchynet.errors import TrainingError
from branchynet.links import apply_layers
from branchynet.training.settings import checked_keep, checked_loss_weights
from branchynet.training.weightings import ExitOutput, make_weighting


class PlainLoss:
    """Softmax cross-entropy of the last exit alone: pre-training of the plain network, without branches."""

    def __init__(self, net):
        self.net = net
        self.plain_net = net.plain()

    def targets(self) -> dict:
        """The parts of the network that this loss moves, each with an optimizer of its own."""
        return {"trunk": self.net.trunk, f"exit{self.net.n_exits}": self.net.exits[-1]}

    def logits(self, x) -> dict:
        """Logits (N, n_classes) of the exits that this loss trains, by the number of the exit, 1 for the first."""
        return {self.net.n_exits: self.plain_net(x)}

    def __call__(self, x, t, shard_weight=1.0):
        """x (N, C, H, W) float32, t (N,) int32 -> loss (), a Variable; shard_weight as of `ExitOutput`."""
        exit_output = ExitOutput(self.net.n_exits, self.plain_net(x), t)
        chainer.report(exit_output.reports())
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
        freeze_trunk: train the exits alone: the trunk's parameters and running statistics stay, and it computes as in
            inference.

    Raises:
        TrainingError: one of them does not fit the network or another one.
    """

    def __init__(self, net, keep=1.0, weighting=None, loss_weights=None, freeze_trunk=False):
        self.net, self.freeze_trunk = net, bool(freeze_trunk)
        n_early, keep = net.n_exits - 1, checked_keep(keep)
        self.keep = keep if isinstance(keep, tuple) else (keep,) * n_early
        if len(self.keep) != n_early:
            raise TrainingError(f"keep: expected 1 share or {n_early} (one for each early exit), got {len(self.keep)}")
        self.loss_weights = checked_loss_weights(loss_weights)
        if loss_weights is not None and len(loss_weights) != net.n_exits:
            raise TrainingError(f"loss_weights: expected {net.n_exits} (one for each exit), got {len(loss_weights)}")
        self.weighting = make_weighting(weighting, net)
        self._check_weighting()

    @classmethod
    def of(cls, net, settings):
        """The loss that a `TrainingSettings` asks for."""
        return cls(net, settings.keep, settings.weighting, settings.loss_weights, settings.freeze_trunk)

    def targets(self) -> dict:
        """The parts of the network that this loss moves, and the weighting's own, each with an optimizer of its own."""
        trunk = {} if self.freeze_trunk else {"trunk": self.net.trunk}
        branches = {f"exit{number}": branch for number, branch in enumerate(self.net.exits, start=1)}
        weighting = {} if self.weighting.link is None else {"weighting": self.weighting.link}
        return {**trunk, **branches, **weighting}

    def logits(self, x) -> dict:
        """Logits (N, n_classes) of the exits that this loss trains, by the number of the exit, 1 for the first."""
        return dict(enumerate(self.net(x), start=1))

    def __call__(self, x, t, shard_weight=1.0):
        """x (N, C, H, W) float32, t (N,) int32 -> loss (), a Variable; shard_weight as of `ExitOutput`.

        What is reported of each exit is its plain cross-entropy, whatever the weighting.
        """
        exits = self._exit_outputs(x, t, shard_weight)
        losses = self.weighting.losses(exits)
        if len(losses) != len(exits):
            raise TrainingError(f"weighting: expected {len(exits)} losses (one for each exit), got {len(losses)}")
        total = 0
        for exit_output, weight, loss in zip(exits, self.loss_weights or self.net.loss_weights, losses):
            total += weight * loss
            chainer.report(exit_output.reports())
        return total

    def _exit_outputs(self, x, t, shard_weight):
        exits = []
        for number, (trunk_piece, head) in enumerate(self.net.segments(), start=1):
            x = self._trunk_piece(trunk_piece, x)
            into_head, x = self.weighting.at_exit_point(x, number)
            exits.append(self._exit_output(number, head, into_head, t, shard_weight))
            if number < self.net.n_exits and self.keep[number - 1] < 1:
                rows = _least_confident(exits[-1].logits.array, self.keep[number - 1])
                x, t = F.get_item(x, rows), t[rows]
        return exits

    def _trunk_piece(self, layers, x):
        if not self.freeze_trunk:
            return apply_layers(layers, x)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return apply_layers(layers, x)

    def _exit_output(self, number, head, h, t, shard_weight):
        if not self.weighting.needs_features:
            return ExitOutput(number, apply_layers(head, h), t, shard_weight=shard_weight)
        *below, last = head
        h = chainer.as_variable(apply_layers(below, h))
        return ExitOutput(number, last(h), t, h, shard_weight)

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


def _least_confident(logits, share):
    """Rows of the samples with the highest entropy, in their order; at least one."""
    xp = chainer.backend.get_array_module(logits)
    n_kept = math.ceil(share * len(logits))
    return xp.sort(xp.argsort(entropy(logits))[len(logits) - n_kept :])

"""The losses of the two training steps (paper, section III-B), each reporting every term it is made of."""

from __future__ import annotations

import math
import numbers

import chainer
import chainer.functions as F

from branchynet.confidence import entropy
from branchynet.errors import TrainingError
from branchynet.functions import scale_gradient
from branchynet.training.weighting import as_weighting


class MainLoss:
    """Softmax cross-entropy of the last exit alone: pre-training of the main network, without branches."""

    def __init__(self, net):
        self.net = net
        self.plain_net = net.baseline()

    def targets(self) -> dict:
        """The parts of the network that this loss moves, each with an optimizer of its own."""
        return {"trunk": self.net.trunk, f"exit{self.net.n_exits}": self.net.exits[-1]}

    def logits(self, x) -> dict:
        """Logits (N, n_classes) of the exits that this loss trains, by the number of the exit, 1 for the first."""
        return {self.net.n_exits: self.plain_net(x)}

    def __call__(self, x, t):
        """x (N, C, H, W) float32, t (N,) int32 -> loss (), a Variable."""
        return _reported_loss(self.net.n_exits, self.plain_net(x), t)


class JointLoss:
    """``L = sum_n w_n L_n``, the weighted sum of the losses of all exits, from one pass over the trunk.

    Args:
        net: a `BranchyNet`.
        keep: share in (0, 1] of the samples that the exits after an early exit train on: the least confident there.
            One number for all early exits, or one for each. 1 trains every exit on every sample.
        weighting: name of how the exits' losses come about (`branchynet.training.weighting`); None is the paper's, the
            mean cross-entropy.
        loss_weights: w_n, one for each exit; None takes those of the branches.
        heads_only: the exits alone are trained, on a trunk that stays as it is, batch statistics and all.

    Raises:
        TrainingError: shares, weights or a weighting that make no sense for this network.
    """

    def __init__(self, net, keep=1.0, weighting=None, loss_weights=None, heads_only=False):
        self.net, self.heads_only = net, heads_only
        n_early = net.n_exits - 1
        self.keep = (float(keep),) * n_early if isinstance(keep, numbers.Real) else tuple(keep)
        if len(self.keep) != n_early:
            raise TrainingError(f"keep: expected 1 share or {n_early} (one for each early exit), got {len(self.keep)}")
        if not all(0 < share <= 1 for share in self.keep):
            raise TrainingError(f"keep: expected shares in (0, 1], got {self.keep}")
        self.weighting = as_weighting(weighting)
        if self.weighting.name != "plain" and min(self.keep, default=1) < 1:
            raise TrainingError("weighting: expected keep = 1, for a weighting compares all exits on the same samples")
        self.loss_weights = net.loss_weights if loss_weights is None else tuple(float(w) for w in loss_weights)
        if len(self.loss_weights) != net.n_exits or min(self.loss_weights) < 0:
            raise TrainingError(f"loss_weights: expected {net.n_exits} numbers >= 0, got {self.loss_weights}")

    def targets(self) -> dict:
        """The parts of the network that this loss moves, each with an optimizer of its own."""
        branches = {f"exit{number}": branch for number, branch in enumerate(self.net.exits, start=1)}
        return branches if self.heads_only else {"trunk": self.net.trunk, **branches}

    def logits(self, x) -> dict:
        """Logits (N, n_classes) of the exits that this loss trains, by the number of the exit, 1 for the first."""
        return dict(enumerate(self.net(x), start=1))

    def __call__(self, x, t):
        """x (N, C, H, W) float32, t (N,) int32 -> loss (), a Variable."""
        logits, labels = [], []
        for index, (stage, branch) in enumerate(self.net.stages()):
            x = self._through(stage, x)
            to_branch, x = self._shared_gradient(x, self.net.n_exits - index)
            logits.append(branch(to_branch))
            labels.append(t)
            if index < self.net.n_exits - 1 and self.keep[index] < 1:
                rows = _least_confident(logits[-1].array, self.keep[index])
                x, t = F.get_item(x, rows), t[rows]
        if min(self.keep, default=1) < 1:
            losses = [F.softmax_cross_entropy(z, own_labels) for z, own_labels in zip(logits, labels)]
        else:
            losses = self.weighting.losses(logits, t)
        for number, report in enumerate(zip(losses, logits, labels), start=1):
            _report(number, *report)
        return sum(weight * loss for weight, loss in zip(self.loss_weights, losses))

    def _through(self, stage, x):
        if not self.heads_only:
            return stage(x)
        with chainer.no_backprop_mode(), chainer.using_config("train", False):
            return stage(x)

    def _shared_gradient(self, x, n_exits_from_here):
        """What goes to the branch and what goes on; with `averages_gradients`, so scaled on the way back that the mean
        of the gradients of all exits from here on arrives."""
        if not self.weighting.averages_gradients or self.heads_only:
            return x, x
        share = 1 / n_exits_from_here
        return scale_gradient(x, share), scale_gradient(x, 1 - share)


def _reported_loss(number, logits, t):
    loss = F.softmax_cross_entropy(logits, t)
    _report(number, loss, logits, t)
    return loss


def _report(number, loss, logits, t):
    accuracy = (logits.array.argmax(axis=1) == t).mean()
    n_samples = len(t)
    chainer.report(
        {f"exit{number}/loss": (float(loss.array), n_samples), f"exit{number}/accuracy": (float(accuracy), n_samples)}
    )


def _least_confident(logits, share):
    """Rows of the samples with the highest entropy, in their order; at least one."""
    xp = chainer.backend.get_array_module(logits)
    n_kept = math.ceil(share * len(logits))
    return xp.sort(xp.argsort(entropy(logits))[len(logits) - n_kept :])

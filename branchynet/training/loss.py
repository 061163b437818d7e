"""The losses of the two training steps (paper, section III-B), each reporting every term it is made of."""

from __future__ import annotations

import math
import numbers

import chainer
import chainer.functions as F

from branchynet.confidence import entropy
from branchynet.errors import TrainingError


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
    """``L = sum_n w_n L_n``, the weighted sum of the cross-entropies of all exits, from one pass over the trunk.

    Args:
        net: a `BranchyNet`; w_n are the weights of its branches.
        keep: share in (0, 1] of the samples that the exits after an early exit train on: the least confident there.
            One number for all early exits, or one for each. 1 trains every exit on every sample.
    """

    def __init__(self, net, keep=1.0):
        self.net = net
        n_early = net.n_exits - 1
        self.keep = (float(keep),) * n_early if isinstance(keep, numbers.Real) else tuple(keep)
        if len(self.keep) != n_early:
            raise TrainingError(f"keep: expected 1 share or {n_early} (one for each early exit), got {len(self.keep)}")
        if not all(0 < share <= 1 for share in self.keep):
            raise TrainingError(f"keep: expected shares in (0, 1], got {self.keep}")

    def targets(self) -> dict:
        """The parts of the network that this loss moves, each with an optimizer of its own."""
        branches = {f"exit{number}": branch for number, branch in enumerate(self.net.exits, start=1)}
        return {"trunk": self.net.trunk, **branches}

    def logits(self, x) -> dict:
        """Logits (N, n_classes) of the exits that this loss trains, by the number of the exit, 1 for the first."""
        return dict(enumerate(self.net(x), start=1))

    def __call__(self, x, t):
        """x (N, C, H, W) float32, t (N,) int32 -> loss (), a Variable."""
        total = 0
        for number, (stage, branch) in enumerate(self.net.stages(), start=1):
            x = stage(x)
            logits = branch(x)
            total += branch.weight * _reported_loss(number, logits, t)
            if number < self.net.n_exits and self.keep[number - 1] < 1:
                rows = _least_confident(logits.array, self.keep[number - 1])
                x, t = F.get_item(x, rows), t[rows]
        return total


def _reported_loss(number, logits, t):
    loss = F.softmax_cross_entropy(logits, t)
    accuracy = (logits.array.argmax(axis=1) == t).mean()
    n_samples = len(t)
    chainer.report(
        {f"exit{number}/loss": (float(loss.array), n_samples), f"exit{number}/accuracy": (float(accuracy), n_samples)}
    )
    return loss


def _least_confident(logits, share):
    """Rows of the samples with the highest entropy, in their order; at least one."""
    xp = chainer.backend.get_array_module(logits)
    n_kept = math.ceil(share * len(logits))
    return xp.sort(xp.argsort(entropy(logits))[len(logits) - n_kept :])

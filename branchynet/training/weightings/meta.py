"""Sample weights that are learned while training: L2W-DEN (Han et al., ECCV 2022, arXiv 2209.08310).

A small network looks at the losses of a sample at all exits and predicts how much the sample should weigh at each. It
is trained by its consequences: take a step on one half of the batch with those weights, look at the other half as early
exit would see it, each sample at the exit where it would leave, and change the weights so that this loss falls.

Which meta-gradient this is
    The paper takes the step with the whole network and differentiates through it: a second network, three backward
    passes and second derivatives, at each step. Here the step is one of gradient descent on the *last linear layer of
    each exit*, while the layers below stay as they are. There the gradient of sample i at exit k is (p_i - y_i) x_i^T,
    from numbers that the forward pass gives anyway; and the weights enter the step linearly, so

        d meta loss / d w_ik = -(step size / n) <(p_i - y_i) x_i^T, gradient of the meta loss after the step>

    is exact for that step, without finite differences and second derivatives. The effect of the weights on the trunk,
    on hidden layers and on Adam's state is left out. The cost is two products of matrices for each exit.
"""

import typing

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np

from branchynet.confidence import entropy, softmax
from branchynet.errors import TrainingError
from branchynet.thresholds.rule import PercentExits, assign_exits
from branchynet.training.weightings.protocol import Weighting

_SEED = 0


class WeightPrediction(chainer.Chain):
    """The weight prediction network: the losses of a sample at all exits -> its weights at all exits.

    Its last layer starts at zero, so that training starts with all weights equal.

    Args:
        n_exits: exits of the network that is trained.
        n_hidden: units of its hidden layer.
        delta: in (0, 1); weights are within 1 - delta and 1 + delta.
    """

    def __init__(self, n_exits, n_hidden, delta):
        super().__init__()
        self.delta = delta
        # Drawn from a generator of its own: what the trained network draws does not depend on the weighting.
        scale = (1 / n_exits) ** 0.5
        first = np.random.default_rng(_SEED).normal(scale=scale, size=(n_hidden, n_exits)).astype(np.float32)
        with self.init_scope():
            self.hidden = L.Linear(n_exits, n_hidden, initialW=first)
            self.weights = L.Linear(n_hidden, n_exits, initialW=0)

    def forward(self, sample_losses):
        """(n, n_exits) float32, nats -> Variable (n, n_exits) in (1 - delta, 1 + delta), mean 1 at each exit."""
        h = F.sigmoid(self.weights(F.relu(self.hidden(sample_losses))))
        return 1 + self.delta * (h - F.broadcast_to(F.mean(h, axis=0, keepdims=True), h.shape))


class MetaWeighting(Weighting):
    """The cross-entropies of the samples, with weights that are learned on the way.

    Each half of a batch takes both roles. The weight prediction network is moved together with the other parts at the
    end of the step; the losses of this step have its weights from before. Where several workers train, each halves and
    normalises its own shard, and the gradients are averaged. A single sample always weighs 1, and so teaches nothing.

    Args:
        net: a `BranchyNet` whose exits all end in a `Linear`.
        delta: in (0, 1); weights are within 1 - delta and 1 + delta.
        n_hidden: hidden units of the weight prediction network.
        step_size: of the gradient descent step, > 0.
        quota_ratio: > 0; the shares of the samples that the meta loss lets leave at each exit, the surest first, form
            a geometric series with this ratio: 1 is equal shares, less is more early exits.

    Raises:
        TrainingError: one of them is out of range.
    """

    needs_features = True
    needs_all_samples = True

    def __init__(self, net, delta=0.5, n_hidden=100, step_size=0.01, quota_ratio=0.5):
        super().__init__(net)
        if not 0 < delta < 1:
            raise TrainingError(f"delta: expected a number in (0, 1), got {delta}")
        for name, value in (("n_hidden", n_hidden), ("step_size", step_size), ("quota_ratio", quota_ratio)):
            if not value > 0:
                raise TrainingError(f"{name}: expected a number > 0, got {value}")
        self.step_size = step_size
        self.quotas = quotas(net.n_exits, quota_ratio)
        self.link = WeightPrediction(net.n_exits, n_hidden, delta)
        self.link.to_device(net.device)

    def losses(self, exits):
        """See `Weighting.losses`."""
        weights = self._learn(exits)
        return [exit_output.weighted_loss(weights[:, n]) for n, exit_output in enumerate(exits)]

    def _learn(self, exits):
        """The weights (n, n_exits), an array; adds their meta-gradient to the gradients of the weight prediction."""
        n_samples, xp = len(exits[0].t), self.link.xp
        samples = [HeadSamples.of(exit_output, head.layers[-1]) for exit_output, head in zip(exits, self.net.exits)]
        sample_losses = xp.stack([exit_output.sample_losses.array for exit_output in exits], axis=1)
        halves = [slice(0, n_samples // 2), slice(n_samples // 2, n_samples)] if n_samples > 1 else [slice(0, 1)]
        weights = xp.empty_like(sample_losses)
        for half, other in zip(halves, reversed(halves)):
            predicted = self.link(sample_losses[half])
            weights[half] = predicted.array
            predicted.grad = exits[0].shard_weight * meta_gradient(
                [sample.rows(half) for sample in samples],
                [sample.rows(other) for sample in samples],
                predicted.array,
                self.step_size,
                self.quotas,
            )
            predicted.backward()
        return weights


class HeadSamples(typing.NamedTuple):
    """Samples at the last linear layer of an exit."""

    x: typing.Any  # (n, n_inputs + 1) float32, the inputs of the layer, a 1 at the end for the bias
    parameters: typing.Any  # (n_classes, n_inputs + 1) float32, the layer's W and b, side by side
    one_hot: typing.Any  # (n, n_classes) float32, the labels

    @classmethod
    def of(cls, exit_output, linear):
        """Those of an `ExitOutput` and the `Linear` that it came from."""
        features, t = exit_output.features.array, exit_output.t
        xp = chainer.backend.get_array_module(features)
        n_classes = exit_output.logits.shape[1]
        bias = xp.zeros(n_classes, np.float32) if linear.b is None else linear.b.array
        ones = xp.ones((len(features), 1), np.float32)
        x = xp.concatenate([features.reshape(len(features), -1), ones], axis=1)
        parameters = xp.concatenate([linear.W.array, bias[:, None]], axis=1)
        return cls(x, parameters, (t[:, None] == xp.arange(n_classes)).astype(np.float32))

    def rows(self, part):
        """The samples of a slice."""
        return HeadSamples(self.x[part], self.parameters, self.one_hot[part])

    def errors(self, parameters):
        """p - y (n, n_classes): the gradient of each sample's cross-entropy by its logits."""
        return softmax(self.x @ parameters.T) - self.one_hot


def meta_gradient(train, meta, weights, step_size, exit_quotas):
    """d meta loss / d weights, for one step of gradient descent on the exits' last linear layers.

    The step is on ``sum_k mean_i(w_ik * cross-entropy of sample i at exit k)`` over the samples of `train`. The meta
    loss is the sum over the exits of the mean cross-entropy of those samples of `meta` that leave there, after the
    step, by the quotas.

    Args:
        train, meta: lists of `HeadSamples`, one for each exit; n and m samples.
        weights: (n, n_exits) float.
        step_size: > 0.
        exit_quotas: an exit rule, such as `quotas` gives.

    Returns:
        (n, n_exits) float.
    """
    xp = chainer.backend.get_array_module(weights)
    n_samples = len(weights)
    errors = [exit_train.errors(exit_train.parameters) for exit_train in train]
    moved = [
        exit_train.parameters - step_size / n_samples * (weights[:, n, None] * errors[n]).T @ exit_train.x
        for n, exit_train in enumerate(train)
    ]
    entropies = xp.stack([entropy(exit_meta.x @ parameters.T) for exit_meta, parameters in zip(meta, moved)])
    leaves_at = assign_exits(entropies, exit_quotas)
    columns = []
    for n, (exit_train, exit_meta, parameters) in enumerate(zip(train, meta, moved)):
        leaving = (leaves_at == n).astype(weights.dtype)
        share = leaving / xp.maximum(leaving.sum(), 1)
        direction = (share[:, None] * exit_meta.errors(parameters)).T @ exit_meta.x
        columns.append(-step_size / n_samples * (errors[n] * (exit_train.x @ direction.T)).sum(axis=1))
    return xp.stack(columns, axis=1)


def quotas(n_exits, ratio) -> PercentExits:
    """An exit rule that shares the samples out in a geometric series, the surest to the first exit.

    Args:
        n_exits: exits of the network.
        ratio: > 0, of an exit's share to that of the exit before it.
    """
    shares = [ratio**n for n in range(n_exits)]
    return PercentExits(tuple(100 * shares[n] / sum(shares[n:]) for n in range(n_exits - 1)))

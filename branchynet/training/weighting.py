"""Ways to weigh samples and exits in joint training, beside the paper's (its future work: per-sample weights).

A weighting turns the logits of all exits into one loss for each; the exits' loss weights come on top. The paper's own,
`plain`, is the mean cross-entropy. With several processes means and normalisations are over each one's share.
"""

from __future__ import annotations

import dataclasses
import typing

import chainer
import chainer.functions as F

from branchynet.confidence import softmax
from branchynet.errors import TrainingError

# Self-distillation (arXiv 1905.08094): the share of the last exit's teaching in the loss, and its temperature.
_TEACHING_SHARE, _TEMPERATURE = 0.5, 3.0
# How far a weight learned from other samples may be from 1.
_META_RANGE = 0.5

_REGISTRY = {}


@dataclasses.dataclass(frozen=True)
class Weighting:
    """One way to weigh.

    Attributes:
        name: in the registry.
        losses: (list of logits (N, n_classes) Variables of all exits, t (N,) int32) -> list of losses (), Variables.
        averages_gradients: the trunk gets the mean of the gradients of the exits behind it, not their sum.
    """

    name: str
    losses: typing.Callable
    averages_gradients: bool = False


def register_weighting(name, averages_gradients=False):
    """Makes a function (logits, t) -> losses, one for each exit, a weighting of that name; a decorator."""

    def register(losses):
        _REGISTRY[name] = Weighting(name, losses, averages_gradients)
        return losses

    return register


def weighting_names() -> list:
    """The names of all weightings, the default first."""
    return list(_REGISTRY)


def as_weighting(name) -> Weighting:
    """The weighting of that name; None is the paper's.

    Raises:
        TrainingError: there is none.
    """
    try:
        return _REGISTRY["plain" if name is None else name]
    except KeyError:
        raise TrainingError(f"weighting: expected one of {', '.join(_REGISTRY)}, got {name!r}") from None


@register_weighting("plain")
def plain(logits, t):
    """Mean cross-entropy of each exit (paper, section III-B)."""
    return [F.softmax_cross_entropy(exit_logits, t) for exit_logits in logits]


@register_weighting("confidence")
def by_confidence(logits, t):
    """Samples that an exit is sure of weigh more at early exits, those that it is unsure of at late ones.

    With K exits and the largest probability c of a sample at exit n, its weight there is proportional to
    ``exp(a_n c)``, where a_n falls evenly from 1 at the first exit to -1 at the last; weights have mean 1 at each exit.
    """
    pairs = zip(sample_weights(logits), logits)
    return [F.sum(w * F.softmax_cross_entropy(z, t, reduce="no")) / len(t) for w, z in pairs]


def sample_weights(logits) -> list:
    """The weights of `by_confidence`: an array (N,) for each exit, not part of the graph."""
    n_exits = len(logits)
    weights = []
    for index, exit_logits in enumerate(logits):
        xp = chainer.backend.get_array_module(exit_logits.array)
        slope = 1 - 2 * index / max(n_exits - 1, 1)
        unscaled = xp.exp(slope * softmax(exit_logits.array).max(axis=1))
        weights.append(unscaled / unscaled.mean())
    return weights


@register_weighting("distillation")
def distillation(logits, t):
    """Early exits learn from the labels and from the last exit's probabilities (self-distillation, arXiv 1905.08094).

    ``(1 - a) CE + a tau^2 KL(last exit || exit n)`` at temperature tau = 3 with a = 0.5; the last exit learns from the
    labels alone, and nothing flows back into it as the teacher.
    """
    teacher = F.softmax(logits[-1].array / _TEMPERATURE).array
    losses = []
    for exit_logits in logits[:-1]:
        student = F.log_softmax(exit_logits / _TEMPERATURE)
        xp = chainer.backend.get_array_module(teacher)
        own = (teacher * xp.log(xp.maximum(teacher, 1e-12))).sum(axis=1).mean()
        divergence = own - F.sum(teacher * student) / len(t)
        taught = _TEACHING_SHARE * _TEMPERATURE**2 * divergence
        losses.append((1 - _TEACHING_SHARE) * F.softmax_cross_entropy(exit_logits, t) + taught)
    return [*losses, F.softmax_cross_entropy(logits[-1], t)]


@register_weighting("gradient-equilibrium", averages_gradients=True)
def gradient_equilibrium(logits, t):
    """The paper's losses, while each stage of the trunk gets the mean of the gradients of the exits behind it: with
    the sum, early stages are moved by many exits and late ones by few (arXiv 1908.06294)."""
    return plain(logits, t)


@register_weighting("meta")
def by_meta_gradient(logits, t):
    """Samples weigh more at an exit if a step on them helps the samples that would leave there.

    After L2W-DEN (Han et al., ECCV 2022), which looks one step ahead: what does the weight of a training sample do to
    the loss of other samples, each counted only at the exit where it would leave? Two things are simpler here. The look
    ahead is taken for the bias of each exit's last layer alone, where it has a closed form, the product of two
    gradients (learning to reweight, arXiv 1803.09050); and no network predicts the weights: each half of a batch is
    weighed by the other half.
    """
    pairs = zip(meta_weights(logits, t), logits)
    return [F.sum(w * F.softmax_cross_entropy(z, t, reduce="no")) / len(t) for w, z in pairs]


def meta_weights(logits, t) -> list:
    """The weights of `by_meta_gradient`: an array (N,) for each exit, from 0.5 to 1.5 before they get mean 1.

    Of the surest samples at the first exit 1 / K would leave there, of the others those that are surest at the second,
    and so on.
    """
    arrays = [exit_logits.array for exit_logits in logits]
    xp = chainer.backend.get_array_module(arrays[0])
    leaves_at = _exits_of_equal_shares(xp, arrays)
    is_even = xp.arange(len(t)) % 2 == 0
    weights = []
    for index, exit_logits in enumerate(arrays):
        residuals = softmax(exit_logits)  # gradient of each sample's loss for the bias, (N, n_classes)
        residuals[xp.arange(len(t)), t] -= 1
        influence = xp.zeros(len(t), dtype=exit_logits.dtype)
        for half in (is_even, ~is_even):
            of_others = (residuals * (~half & (leaves_at == index))[:, None]).sum(axis=0)
            influence[half] = (residuals @ of_others)[half]
        size = xp.abs(influence).mean() + xp.finfo(influence.dtype).tiny
        unscaled = 1 + _META_RANGE * xp.tanh(influence / size)
        weights.append(unscaled / unscaled.mean())
    return weights


def _exits_of_equal_shares(xp, arrays):
    """(N,) int: the exit that each sample leaves at, if the surest of those that are left do, 1 / K of all at each."""
    n_samples, n_exits = len(arrays[0]), len(arrays)
    leaves_at = xp.full(n_samples, n_exits - 1)
    remaining = xp.arange(n_samples)
    for index, exit_logits in enumerate(arrays[:-1]):
        order = xp.argsort(-softmax(exit_logits[remaining]).max(axis=1))
        n_leaving = n_samples // n_exits
        leaves_at[remaining[order[:n_leaving]]] = index
        remaining = remaining[order[n_leaving:]]
    return leaves_at

"""Weightings of the exits' losses, against naive NumPy."""

import dataclasses
import math

import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import tiny_batch, tiny_net

from branchynet.errors import TrainingError
from branchynet.machine.devices import to_host
from branchynet.training import WEIGHTINGS, JointLoss, Weighting, register_weighting
from branchynet.training.weightings.fixed import (
    ConfidenceWeighting,
    Distillation,
    GradientEquilibrium,
    confidence_weights,
)

from .runs import SETTINGS, assert_same_arrays, cross_entropies, joint, naive_softmax
from .test_loss import loss_and_gradients, reports_of
from .test_run import NAMES


def with_weighting(net, x, t, weighting, **options):
    """The joint loss with a weighting, and all gradients."""
    return loss_and_gradients(net, x, t, JointLoss(net, weighting=weighting, **options))


def logits_of(net, x, t):
    """The logits that a weighting sees, on the host."""
    seen = []
    with_weighting(net, x, t, lambda exits: seen.extend(exits) or [out.cross_entropy for out in exits])
    return [to_host(out.logits.array) for out in seen]


def test_the_names():
    assert WEIGHTINGS.names() == NAMES


def test_one_of_ones_own_is_one_function(tmp_path):
    @register_weighting("focal")
    def focal(exits):
        return [F.mean((1 - F.exp(-out.sample_losses)) ** 2 * out.sample_losses) for out in exits]

    net, (x, t) = tiny_net(), tiny_batch()
    losses = [cross_entropies(z, t) for z in logits_of(net, x, t)]
    expected = sum(w * ((1 - np.exp(-ce)) ** 2 * ce).mean() for w, ce in zip(net.loss_weights, losses))
    assert with_weighting(net, x, t, "focal")[0] == pytest.approx(expected, rel=1e-5)
    assert len(joint(tiny_net(), tmp_path, dataclasses.replace(SETTINGS, weighting="focal"))) == SETTINGS.epochs


def test_one_of_ones_own_may_be_a_class_with_parameters():
    @register_weighting("learned temperature")
    class LearnedTemperature(Weighting):
        def __init__(self, net):
            super().__init__(net)
            self.link = L.Scale(axis=0, W_shape=(), bias_term=False)

        def losses(self, exits):
            scaled = [self.link(F.reshape(out.sample_losses, (-1, 1))) for out in exits]
            return [F.mean(loss) for loss in scaled]

    net, (x, t) = tiny_net(), tiny_batch()
    loss = JointLoss(net, weighting="learned temperature")
    assert list(loss.targets()) == ["trunk", "exit1", "exit2", "exit3", "weighting"]
    loss.weighting.link.W.array[...] = 2
    assert loss_and_gradients(net, x, t, loss)[0] == pytest.approx(2 * loss_and_gradients(net, x, t)[0], rel=1e-6)


def test_one_that_was_made_for_another_net_is_refused():
    with pytest.raises(TrainingError, match="expected one that was made for this net, got one for another"):
        JointLoss(tiny_net(), weighting=GradientEquilibrium(tiny_net()))


def test_a_function_that_forgets_an_exit_is_refused():
    with pytest.raises(TrainingError, match=r"expected 3 losses \(one for each exit\), got 1"):
        JointLoss(tiny_net(), weighting=lambda exits: [exits[0].cross_entropy])(*tiny_batch())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_reported_is_the_plain_loss_whatever_the_weighting(name):
    x, t = tiny_batch()
    assert reports_of(JointLoss(tiny_net(), weighting=name), x, t) == reports_of(JointLoss(tiny_net()), x, t)


@pytest.mark.parametrize(
    "make",
    [
        lambda net: Distillation(net, a=1.5),
        lambda net: Distillation(net, tau=0),
        lambda net: ConfidenceWeighting(net, strength=1),
    ],
)
def test_constants_out_of_range_are_refused(make):
    with pytest.raises(TrainingError, match="expected a .*, got"):
        make(tiny_net())


# --- confidence


def naive_confidence_weights(z, place, strength):
    weights = []
    for row in naive_softmax(z.astype(float)):
        confidence = 1 + sum(p * math.log(p) for p in row if p > 0) / math.log(len(row))
        weights.append(1 + strength * (1 - 2 * place) * (2 * confidence - 1))
    return np.array(weights) / np.mean(weights)


@pytest.mark.parametrize(("number", "place"), [(1, 0), (2, 0.5), (3, 1)])
def test_confidence_weights(device, rng, number, place):
    z = (4 * rng.normal(size=(50, 3))).astype(np.float32)
    weights = to_host(confidence_weights(device.send(z), number, 3, 0.8))
    assert weights.dtype == np.float32 and weights.mean() == pytest.approx(1, abs=1e-6) and (weights > 0).all()
    np.testing.assert_allclose(weights, naive_confidence_weights(z, place, 0.8), rtol=1e-4)
    surest = naive_softmax(z).max(axis=1).argmax()
    assert weights[surest] == {1: weights.max(), 2: weights[0], 3: weights.min()}[number]


@pytest.mark.parametrize("z", [np.zeros((4, 3)), 100 * np.eye(3), np.array([[5.0, 0, 0]])])
@pytest.mark.parametrize(("number", "n_exits"), [(1, 3), (2, 3), (3, 3), (1, 1)])
def test_confidence_weights_of_samples_that_are_alike_are_1(z, number, n_exits):
    np.testing.assert_allclose(confidence_weights(z.astype(np.float32), number, n_exits), 1, rtol=1e-6)


def test_the_confidence_loss_has_no_gradient_through_its_weights():
    net, (x, t) = tiny_net(), tiny_batch()
    logits = logits_of(net, x, t)
    weights = [confidence_weights(z, number, 3) for number, z in enumerate(logits, start=1)]
    expected = sum(
        w * (sample_weights * cross_entropies(z, t)).mean()
        for w, sample_weights, z in zip(net.loss_weights, weights, logits)
    )
    loss, ours = with_weighting(net, x, t, "confidence")
    assert loss == pytest.approx(expected, rel=1e-5)
    _, theirs = with_weighting(net, x, t, lambda exits: [out.weighted_loss(w) for out, w in zip(exits, weights)])
    assert_same_arrays(ours, theirs, rtol=1e-5, atol=1e-7)


def test_confidence_goes_with_keep():
    loss = JointLoss(tiny_net(), keep=0.5, weighting="confidence")(*tiny_batch(20))
    assert math.isfinite(float(loss.array))


# --- distillation


def test_the_distillation_loss(device):
    net, (x, t) = tiny_net(device=device), tiny_batch()
    on_device = device.send(x), device.send(t)
    a, tau = 0.3, 2.0
    logits = logits_of(net, *on_device)
    teacher = naive_softmax(logits[-1].astype(float) / tau)
    expected = net.loss_weights[-1] * cross_entropies(logits[-1], t).mean()
    for weight, z in zip(net.loss_weights[:-1], logits[:-1]):
        student = naive_softmax(z.astype(float) / tau)
        kl = np.mean([sum(p * math.log(p / q) for p, q in zip(*rows)) for rows in zip(teacher, student)])
        expected += weight * ((1 - a) * cross_entropies(z, t).mean() + a * tau**2 * kl)
    assert with_weighting(net, *on_device, Distillation(net, a, tau))[0] == pytest.approx(expected, rel=1e-5)


def test_distillation_with_a_0_is_the_plain_loss():
    net, (x, t) = tiny_net(), tiny_batch()
    loss, ours = with_weighting(net, x, t, Distillation(net, a=0.0))
    plain_loss, theirs = loss_and_gradients(net, x, t)
    assert loss == plain_loss
    assert_same_arrays(ours, theirs, rtol=1e-6, atol=1e-8)


def test_the_last_exit_learns_nothing_from_the_early_ones():
    net, (x, t) = tiny_net(), tiny_batch()
    _, gradient = with_weighting(net, x, t, Distillation(net, a=1.0), loss_weights=(1, 1, 0))
    assert not gradient["/exits/2/0/W"].any() and not gradient["/trunk/2/0/W"].any()
    assert gradient["/exits/0/0/W"].any()


# --- gradient equilibrium


def test_gradient_equilibrium_divides_the_gradient_of_each_stage_by_the_exits_behind_it(device):
    net, (x, t) = tiny_net(device=device), (device.send(array) for array in tiny_batch())
    plain_loss, plain = loss_and_gradients(net, x, t)
    loss, ours = with_weighting(net, x, t, "gradient-equilibrium")
    assert loss == plain_loss
    factors = {f"/trunk/{stage}/": 1 / (3 - stage) for stage in range(3)}
    expected = {name: factors.get(name[:9], 1) * gradient for name, gradient in plain.items()}
    assert_same_arrays(ours, expected, rtol=1e-4, atol=1e-7)

"""The losses of the two steps: values and gradients, what they move and what they report."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import SHAPE, drawn_net, tiny_batch, tiny_net

from branchynet import FL, Branch
from branchynet.confidence import entropy
from branchynet.errors import TrainingError
from branchynet.links import Convolution2D
from branchynet.machine.devices import to_host
from branchynet.training import JointLoss, PlainLoss

from .runs import assert_same_arrays, gradients


def loss_and_gradients(net, x, t, loss=None, train=False):
    """The loss, the joint one by default, and all gradients on the host."""
    net.cleargrads()
    with chainer.using_config("train", train):
        value = (loss or JointLoss(net))(x, t)
    value.backward()
    return float(value.array), gradients(net)


def reports_of(loss, x, t):
    """What a loss reports of one batch, in inference mode."""
    reporter, observation = chainer.Reporter(), {}
    with reporter.scope(observation), chainer.using_config("train", False):
        loss(x, t)
    return observation


def net_with_statistics():
    """A net with batch normalisation and dropout in the trunk and in a branch."""

    def build():
        layers = [Convolution2D(1, 2, 3), L.BatchNormalization(2), FL(F.dropout, 0.5)]
        branch = Branch([L.BatchNormalization(2), L.Linear(32, 3)])
        return [*layers, branch, FL(F.relu), L.Linear(32, 8), Branch([L.Linear(8, 3)], weight=0.3)]

    return drawn_net(build, SHAPE)


def test_the_joint_gradient_is_the_sum_of_the_exits_own_gradients(device):
    net = tiny_net(device=device, weights=(1.0, 0.7, 0.3))
    x, t = (device.send(array) for array in tiny_batch())
    _, joint = loss_and_gradients(net, x, t)
    expected = dict.fromkeys(joint, 0.0)
    for exit_index, weight in enumerate(net.loss_weights):
        _, of_exit = loss_and_gradients(net, x, t, lambda x, t: F.softmax_cross_entropy(net(x)[exit_index], t))  # noqa: B023
        for name, gradient in of_exit.items():
            expected[name] = expected[name] + (0.0 if gradient is None else weight * gradient)
    assert_same_arrays(joint, expected, rtol=1e-4, atol=1e-6)


def test_the_default_loss_is_the_papers_to_the_bit(device):
    x, t = (device.send(array) for array in tiny_batch())
    net = tiny_net(device=device)

    def papers_loss(x, t):
        total = 0
        for stage, branch in net.stages():
            x = stage(x)
            total += branch.weight * F.softmax_cross_entropy(branch(x), t)
        return total

    results = []
    for loss in (JointLoss(net), papers_loss):
        device.xp.random.seed(1)
        results.append(loss_and_gradients(net, x, t, loss, train=True))
    assert results[0][0] == results[1][0]
    assert_same_arrays(results[0][1], results[1][1])


def test_loss_weights_of_the_settings_replace_those_of_the_branches():
    net, (x, t) = tiny_net(weights=(9, 9, 9)), tiny_batch()
    loss, _ = loss_and_gradients(net, x, t, JointLoss(net, loss_weights=(0.5, 0, 2)))
    assert loss == loss_and_gradients(tiny_net(weights=(0.5, 0, 2)), x, t)[0]
    assert net.loss_weights == (9, 9, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 1.5}, r"keep: expected shares in \(0, 1\], got 1.5"),
        ({"keep": (0.5,)}, r"keep: expected 1 share or 2 \(one for each early exit\), got 1"),
        ({"keep": (0.5,) * 3}, "keep: expected 1 share or 2 .*, got 3"),
        ({"loss_weights": (0, 0, 0)}, "loss_weights: expected a tuple of finite numbers >= 0, not all 0, got"),
        ({"loss_weights": (1, 1)}, r"loss_weights: expected 3 \(one for each exit\), got 2"),
        ({"loss_weights": (1,) * 4}, "loss_weights: expected 3 .*, got 4"),
        ({"weighting": "none"}, "weighting: expected one of confidence, .*; got 'none'"),
        ({"weighting": 3}, "weighting: expected a name, a Weighting or a function, got 3"),
        ({"weighting": dict}, "weighting: expected a name, a Weighting or a function, got <class 'dict'>"),
        ({"weighting": "meta", "keep": 0.5}, "expected keep = 1"),
        ({"weighting": "distillation", "keep": 0.5}, "expected keep = 1"),
    ],
)
def test_what_does_not_fit_the_net_is_refused(options, message):
    with pytest.raises(TrainingError, match=message):
        JointLoss(tiny_net(), **options)


def test_one_optimizer_for_the_trunk_and_one_for_each_exit():
    net = tiny_net()
    targets = JointLoss(net).targets()
    assert list(targets) == ["trunk", "exit1", "exit2", "exit3"]
    params = [id(param) for target in targets.values() for param in target.params()]
    assert sorted(params) == sorted(id(param) for param in net.params())
    assert list(PlainLoss(net).targets()) == ["trunk", "exit3"]
    assert list(JointLoss(net, freeze_trunk=True).targets()) == ["exit1", "exit2", "exit3"]


def test_loss_and_accuracy_are_reported_for_every_exit(device):
    net = tiny_net(device=device)
    x, t = tiny_batch()
    x, t_device = device.send(x), device.send(t)
    with chainer.using_config("train", False):
        logits = [to_host(z.array) for z in net(x)]
    expected = {}
    for number, z in enumerate(logits, start=1):
        expected[f"exit{number}/loss"] = (float(F.softmax_cross_entropy(z, t).array), 7)
        expected[f"exit{number}/accuracy"] = ((z.argmax(axis=1) == t).mean(), 7)
    for loss, names in ((JointLoss(net), list(expected)), (PlainLoss(net), ["exit3/loss", "exit3/accuracy"])):
        reports = reports_of(loss, x, t_device)
        assert list(reports) == names
        for name in names:
            mean, n_samples = reports[name]
            assert (float(mean), n_samples) == pytest.approx(expected[name], rel=1e-5)


def test_keep_trains_later_exits_on_the_least_confident_samples(device):
    net = tiny_net(device=device)
    x, t = (device.send(array) for array in tiny_batch(20))
    seen = []
    net.trunk[1].layers = (lambda h: seen.append(to_host(h.array)) or h, *net.trunk[1].layers)
    observation = reports_of(JointLoss(net, keep=0.25), x, t)
    with chainer.using_config("train", False):
        h = net.trunk[0](x)
        logits = net.exits[0](h).array
    least_confident = np.sort(np.argsort(to_host(entropy(logits)))[-5:])
    np.testing.assert_array_equal(seen[0], to_host(h.array)[least_confident])
    assert [observation[f"exit{n}/loss"][1] for n in (1, 2, 3)] == [20, 5, 2]


def test_a_frozen_trunk_answers_as_in_inference():
    net, (x, t) = net_with_statistics(), tiny_batch()
    with chainer.using_config("train", False):
        expected = net.trunk[0](x).array
    seen = []
    net.exits[0].layers = (lambda h: seen.append(h.array) or h, *net.exits[0].layers)
    JointLoss(net, freeze_trunk=True)(x, t)
    np.testing.assert_array_equal(seen[0], expected)

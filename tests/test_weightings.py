"""Weightings of the exits' losses, against naive NumPy; loss weights; training the heads alone."""

import dataclasses
import json
import math

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from test_training import SETTINGS, Killed, gradients, killing_prepare, without_times
from tiny import tiny_batch, tiny_data, tiny_list, tiny_net

from branchynet import FL, Branch, BranchyNet, serialization
from branchynet.devices import to_host
from branchynet.errors import SnapshotError, TrainingError
from branchynet.links import Convolution2D
from branchynet.training import JointLoss, TrainingSettings, Weighting, register_weighting, train_joint
from branchynet.training.run import snapshot_path
from branchynet.training.weightings import (
    ConfidenceWeighting,
    Distillation,
    confidence_weights,
    protocol,
    weighting_names,
)

NAMES = ("confidence", "distillation", "gradient-equilibrium", "meta")


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropies(z, t):
    return np.array([-math.log(p[label]) for p, label in zip(softmax(z.astype(float)), t)])


def loss_and_gradients(net, x, t, **options):
    """The joint loss of a net in inference mode, and all gradients, on the host."""
    net.cleargrads()
    with chainer.using_config("train", False):
        loss = JointLoss(net, **options)(x, t)
    loss.backward()
    return float(loss.array), gradients(net)


def logits_of(net, x):
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return [to_host(z.array) for z in net(x)]


def joint_loss_of_the_paper(net, x, t, keep=None):
    """The joint loss written down without any option."""
    total = 0
    for stage, branch in net.stages():
        x = stage(x)
        total += branch.weight * F.softmax_cross_entropy(branch(x), t)
    return total


def test_the_default_loss_is_the_papers_to_the_bit(device):
    x, t = (device.send(array) for array in tiny_batch())
    ours, papers = tiny_net(), tiny_net()
    results = []
    for net, make in ((ours, JointLoss), (papers, lambda net: lambda x, t: joint_loss_of_the_paper(net, x, t))):
        net.to_device(device)
        net.cleargrads()
        device.xp.random.seed(1)
        loss = make(net)(x, t)
        loss.backward()
        results.append((float(loss.array), gradients(net)))
    assert results[0][0] == results[1][0]
    for name, gradient in results[0][1].items():
        np.testing.assert_array_equal(gradient, results[1][1][name], err_msg=name)


def test_the_names():
    assert weighting_names() == NAMES
    with pytest.raises(TrainingError, match="expected one of confidence, .*, got 'none'"):
        JointLoss(tiny_net(), weighting="none")
    with pytest.raises(TrainingError, match="expected a name, a Weighting or a function, got 3"):
        JointLoss(tiny_net(), weighting=3)
    with pytest.raises(ValueError, match="weighting: expected one of confidence, .*, got 'none'"):
        TrainingSettings(epochs=1, weighting="none")


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(protocol, "_registered", dict(protocol._registered))


def test_one_of_ones_own_is_one_function(tmp_path, registry):
    @register_weighting("focal")
    def focal(exits):
        return [F.mean((1 - F.exp(-out.sample_losses)) ** 2 * out.sample_losses) for out in exits]

    net, (x, t) = tiny_net(), tiny_batch()
    loss, _ = loss_and_gradients(net, x, t, weighting="focal")
    losses = [cross_entropies(z, t) for z in logits_of(net, x)]
    expected = sum(w * ((1 - np.exp(-ce)) ** 2 * ce).mean() for w, ce in zip(net.loss_weights, losses))
    assert loss == pytest.approx(expected, rel=1e-5)
    settings = dataclasses.replace(SETTINGS, weighting="focal")
    assert len(train_joint(net, tiny_data(), settings, tmp_path, show_progress=False)) == SETTINGS.epochs
    with pytest.raises(TrainingError, match="got 'focal', which is taken"):
        register_weighting("focal")(focal)


def test_a_function_that_forgets_an_exit_is_refused():
    x, t = tiny_batch()
    with pytest.raises(TrainingError, match=r"expected 3 losses \(one for each exit\), got 1"):
        JointLoss(tiny_net(), weighting=lambda exits: [exits[0].cross_entropy])(x, t)


def test_what_is_reported_is_the_plain_loss_whatever_the_weighting():
    x, t = tiny_batch()
    reports = []
    for weighting in (None, *NAMES):
        reporter, observation = chainer.Reporter(), {}
        with reporter.scope(observation), chainer.using_config("train", False):
            JointLoss(tiny_net(), weighting=weighting)(x, t)
        reports.append(observation)
    assert all(report == reports[0] for report in reports)


# --- confidence


def naive_confidence_weights(z, place, strength):
    weights = []
    for row in softmax(z.astype(float)):
        confidence = 1 + sum(p * math.log(p) for p in row if p > 0) / math.log(len(row))
        weights.append(1 + strength * (1 - 2 * place) * (2 * confidence - 1))
    return np.array(weights) / np.mean(weights)


@pytest.mark.parametrize(("number", "place"), [(1, 0), (2, 0.5), (3, 1)])
def test_confidence_weights(device, rng, number, place):
    z = (4 * rng.normal(size=(50, 3))).astype(np.float32)
    weights = to_host(confidence_weights(device.send(z), number, 3, 0.8))
    assert weights.dtype == np.float32 and weights.mean() == pytest.approx(1, abs=1e-6) and (weights > 0).all()
    np.testing.assert_allclose(weights, naive_confidence_weights(z, place, 0.8), rtol=1e-4)
    surest = softmax(z).max(axis=1).argmax()
    assert weights[surest] == {1: weights.max(), 2: weights[0], 3: weights.min()}[number]


@pytest.mark.parametrize("z", [np.zeros((4, 3)), 100 * np.eye(3), np.array([[5.0, 0, 0]])])
def test_confidence_weights_of_samples_that_are_alike_are_1(z):
    for number in (1, 2, 3):
        np.testing.assert_allclose(confidence_weights(z.astype(np.float32), number, 3), 1, rtol=1e-6)
    np.testing.assert_allclose(confidence_weights(z.astype(np.float32), 1, 1), 1, rtol=1e-6)


def test_the_confidence_loss_has_no_gradient_through_its_weights():
    net, (x, t) = tiny_net(), tiny_batch()
    loss, ours = loss_and_gradients(net, x, t, weighting="confidence")
    weights = [confidence_weights(z, number, 3) for number, z in enumerate(logits_of(net, x), start=1)]
    expected = sum(
        w * (sample_weights * cross_entropies(z, t)).mean()
        for w, sample_weights, z in zip(net.loss_weights, weights, logits_of(net, x))
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    fixed, theirs = loss_and_gradients(
        net, x, t, weighting=lambda exits: [out.weighted_loss(w) for out, w in zip(exits, weights)]
    )
    for name, gradient in ours.items():
        np.testing.assert_allclose(gradient, theirs[name], rtol=1e-5, atol=1e-7)


def test_confidence_goes_with_keep():
    x, t = tiny_batch(20)
    loss = JointLoss(tiny_net(), keep=0.5, weighting="confidence")(x, t)
    assert math.isfinite(float(loss.array))


# --- distillation


def test_the_distillation_loss(device):
    net, (x, t) = tiny_net(), tiny_batch()
    net.to_device(device)
    a, tau = 0.3, 2.0
    loss, _ = loss_and_gradients(
        net, device.send(x), device.send(t), weighting=lambda exits: Distillation(net, a, tau).losses(exits)
    )
    logits = logits_of(net, device.send(x))
    teacher = softmax(logits[-1].astype(float) / tau)
    expected = net.loss_weights[-1] * cross_entropies(logits[-1], t).mean()
    for weight, z in zip(net.loss_weights[:-1], logits[:-1]):
        student = softmax(z.astype(float) / tau)
        kl = np.mean([sum(p * math.log(p / q) for p, q in zip(*rows)) for rows in zip(teacher, student)])
        expected += weight * ((1 - a) * cross_entropies(z, t).mean() + a * tau**2 * kl)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_distillation_with_a_0_is_the_plain_loss():
    net, (x, t) = tiny_net(), tiny_batch()
    loss, ours = loss_and_gradients(net, x, t, weighting=Distillation(net, a=0.0))
    plain, theirs = loss_and_gradients(net, x, t)
    assert loss == plain
    for name, gradient in ours.items():
        np.testing.assert_allclose(gradient, theirs[name], rtol=1e-6, atol=1e-8)


def test_the_last_exit_learns_nothing_from_the_early_ones():
    net, (x, t) = tiny_net(), tiny_batch()
    _, gradient = loss_and_gradients(net, x, t, weighting=Distillation(net, a=1.0), loss_weights=(1, 1, 0))
    assert not gradient["/exits/2/0/W"].any() and not gradient["/trunk/2/0/W"].any()
    assert gradient["/exits/0/0/W"].any()


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


@pytest.mark.parametrize("name", ["distillation", "meta"])
def test_what_compares_exits_needs_every_sample_at_every_exit(name):
    with pytest.raises(TrainingError, match="expected keep = 1"):
        JointLoss(tiny_net(), keep=0.5, weighting=name)


# --- gradient equilibrium


def test_gradient_equilibrium_divides_the_gradient_of_each_stage_by_the_exits_behind_it(device):
    net, (x, t) = tiny_net(), (device.send(array) for array in tiny_batch())
    net.to_device(device)
    plain_loss, plain = loss_and_gradients(net, x, t)
    loss, ours = loss_and_gradients(net, x, t, weighting="gradient-equilibrium")
    assert loss == plain_loss
    for name, gradient in ours.items():
        _, part, number, *_ = name.split("/")
        factor = 1 / (3 - int(number)) if part == "trunk" else 1
        np.testing.assert_allclose(gradient, factor * plain[name], rtol=1e-4, atol=1e-7, err_msg=name)


# --- loss weights


def test_loss_weights_replace_those_of_the_branches():
    x, t = tiny_batch()
    net = tiny_net(weights=(9, 9, 9))
    loss, _ = loss_and_gradients(net, x, t, loss_weights=(0.5, 0, 2))
    assert loss == loss_and_gradients(tiny_net(weights=(0.5, 0, 2)), x, t)[0]
    assert net.loss_weights == (9, 9, 9)


@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1, 1), (0, 0, 0), (1, -1, 1), (1, math.inf, 1), (1, math.nan, 1)])
def test_loss_weights_that_are_none_are_refused(weights):
    with pytest.raises(TrainingError, match="loss weights: expected"):
        JointLoss(tiny_net(), loss_weights=weights)


# --- heads only


def net_with_statistics(seed=0):
    """A net with batch normalisation and dropout in the trunk and in a branch."""
    np.random.seed(seed)  # noqa: NPY002
    layers = [Convolution2D(1, 2, 3), L.BatchNormalization(2), FL(F.dropout, 0.5)]
    branch = Branch([L.BatchNormalization(2), L.Linear(32, 3)])
    return BranchyNet([*layers, branch, FL(F.relu), L.Linear(32, 8), Branch([L.Linear(8, 3)], weight=0.3)])


def state_of(link):
    """Parameters and running statistics, copied."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(link)
    return {name: np.array(value) for name, value in serializer.target.items()}


@pytest.mark.parametrize("weighting", [None, *NAMES])
def test_heads_alone_leave_the_trunk_untouched_and_move_all_exits(tmp_path, weighting):
    net = net_with_statistics()
    trunk, exits = state_of(net.trunk), state_of(net.exits)
    settings = dataclasses.replace(SETTINGS, trains="heads", weighting=weighting)
    history = train_joint(net, tiny_data(), settings, tmp_path, show_progress=False)
    for name, value in state_of(net.trunk).items():
        np.testing.assert_array_equal(value, trunk[name], err_msg=name)
    still = {name for name, value in state_of(net.exits).items() if (value == exits[name]).all()}
    assert still == {"0/0/N"}, "all but a counter that Chainer moves in fine-tuning only"
    assert [entry["exit"] for entry in history[-1]["exits"]] == [1, 2]


def test_the_targets_of_heads_alone_are_the_exits():
    loss = JointLoss(tiny_net(), trains="heads")
    assert list(loss.targets()) == ["exit1", "exit2", "exit3"] and list(loss.frozen()) == ["trunk"]
    assert JointLoss(tiny_net()).frozen() == {}
    with pytest.raises(TrainingError, match="trains: expected one of joint, heads, got 'trunk'"):
        JointLoss(tiny_net(), trains="trunk")
    with pytest.raises(ValueError, match="trains: expected one of joint, heads, got 'trunk'"):
        TrainingSettings(epochs=1, trains="trunk")


def test_a_frozen_trunk_answers_as_in_inference():
    net, (x, t) = net_with_statistics(), tiny_batch()
    with chainer.using_config("train", False):
        expected = net.trunk[0](x).array
    seen = []
    net.exits[0].layers.insert(0, lambda h: seen.append(h.array) or h)
    JointLoss(net, trains="heads")(x, t)
    np.testing.assert_array_equal(seen[0], expected)


def test_heads_alone_go_on_with_the_trunk_they_were_trained_on(tmp_path):
    settings = dataclasses.replace(SETTINGS, trains="heads")
    net, other = net_with_statistics(), net_with_statistics(seed=1)
    train_joint(net, tiny_data(), settings, tmp_path, show_progress=False)
    train_joint(other, tiny_data(), settings, tmp_path, resume=True, show_progress=False)
    for name, value in state_of(other).items():
        np.testing.assert_array_equal(value, state_of(net)[name], err_msg=name)


# --- snapshots


@pytest.mark.parametrize("changes", [*({"weighting": name} for name in NAMES), {"trains": "heads"}])
def test_a_killed_run_resumes_to_the_same_result(tmp_path, changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    (tmp_path / "whole").mkdir(), (tmp_path / "killed").mkdir()
    whole, resumed = tiny_net(), tiny_net()
    history = train_joint(whole, tiny_data(), settings, tmp_path / "whole", show_progress=False)
    with pytest.raises(Killed):
        data = tiny_data(prepare=killing_prepare(12))
        train_joint(tiny_net(), data, settings, tmp_path / "killed", show_progress=False)
    out = tmp_path / "killed"
    resumed_history = train_joint(resumed, tiny_data(), settings, out, resume=True, show_progress=False)
    assert without_times(resumed_history) == without_times(history)
    for (name, ours), (_, theirs) in zip(resumed.namedparams(), whole.namedparams()):
        np.testing.assert_array_equal(ours.array, theirs.array, err_msg=name)


def test_a_snapshot_from_before_these_settings_can_be_gone_on_with(tmp_path):
    train_joint(tiny_net(), tiny_data(), SETTINGS, tmp_path, show_progress=False)
    path = snapshot_path(tmp_path, "joint")
    with np.load(path) as arrays:
        arrays = dict(arrays)
    description = json.loads(str(arrays["description.json"]))
    for key in ("weighting", "loss_weights", "trains"):
        del description["settings"][key]
    np.savez(path, **{**arrays, "description.json": np.array(json.dumps(description))})
    assert "trains" not in serialization.read_snapshot_description(path)["settings"]
    assert train_joint(tiny_net(), tiny_data(), SETTINGS, tmp_path, resume=True, show_progress=False)
    heads = dataclasses.replace(SETTINGS, trains="heads")
    with pytest.raises(SnapshotError, match="trains: expected heads, got joint"):
        train_joint(tiny_net(), tiny_data(), heads, tmp_path, resume=True, show_progress=False)


def test_loss_weights_are_remembered(tmp_path):
    settings = dataclasses.replace(SETTINGS, loss_weights=(1, 0.5, 0.3))
    history = train_joint(tiny_net(), tiny_data(), settings, tmp_path, show_progress=False)
    assert train_joint(tiny_net(), tiny_data(), settings, tmp_path, resume=True, show_progress=False) == history
    other = dataclasses.replace(SETTINGS, loss_weights=(1, 1, 1))
    with pytest.raises(SnapshotError, match="loss_weights: expected"):
        train_joint(tiny_net(), tiny_data(), other, tmp_path, resume=True, show_progress=False)


def test_a_weighting_may_be_a_class_with_parameters_of_its_own(tmp_path, registry):
    @register_weighting("learned temperature")
    class LearnedTemperature(Weighting):
        def __init__(self, net):
            super().__init__(net)
            self.link = L.Scale(axis=0, W_shape=(), bias_term=False)

        def losses(self, exits):
            scaled = [self.link(F.reshape(out.sample_losses, (-1, 1))) for out in exits]
            return [F.mean(loss) for loss in scaled]

    loss = JointLoss(BranchyNet(tiny_list()), weighting="learned temperature")
    assert list(loss.targets()) == ["trunk", "exit1", "exit2", "exit3", "weighting"]

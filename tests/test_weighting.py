"""Ways to weigh samples and exits, against naive sums."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from tiny import N_CLASSES, tiny_batch, tiny_data, tiny_net

from branchynet.devices import to_host
from branchynet.errors import TrainingError
from branchynet.functions import scale_gradient
from branchynet.training import JointLoss, TrainingSettings, train_joint
from branchynet.training import weighting as room


@pytest.fixture
def outputs(rng, device):
    """Logits of three exits for nine samples, as Variables, and labels, on the device; the logits on the host too."""
    host = [rng.normal(size=(9, N_CLASSES)).astype(np.float32) * 3 for _ in range(3)]
    labels = rng.integers(0, N_CLASSES, 9).astype(np.int32)
    return [chainer.Variable(device.send(z)) for z in host], device.send(labels), host, labels


def log_softmax(z, temperature=1.0):
    z = z.astype(np.float64) / temperature
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def cross_entropies(z, labels):
    return -log_softmax(z)[np.arange(len(labels)), labels]


def gradients(net):
    return {name: p.grad.copy() for name, p in net.namedparams() if p.grad is not None}


def loss_and_gradients(net, **settings):
    x, t = tiny_batch(12)
    net.cleargrads()
    with chainer.using_config("train", False):
        loss = JointLoss(net, **settings)(x, t)
        loss.backward()
    return float(loss.array), gradients(net)


def test_plain_is_the_mean_cross_entropy(outputs):
    logits, t, host, labels = outputs
    for loss, z in zip(room.plain(logits, t), host):
        assert float(loss.array) == pytest.approx(cross_entropies(z, labels).mean(), rel=1e-5)


def test_confident_samples_weigh_more_at_the_first_exit_and_less_at_the_last(outputs):
    logits, t, host, labels = outputs
    weights = [to_host(w) for w in room.sample_weights(logits)]
    for slope, exit_weights, z, loss in zip((1, 0, -1), weights, host, room.by_confidence(logits, t)):
        expected = np.exp(slope * np.exp(log_softmax(z)).max(axis=1))
        expected /= expected.mean()
        np.testing.assert_allclose(exit_weights, expected, rtol=1e-5)
        assert float(loss.array) == pytest.approx((expected * cross_entropies(z, labels)).mean(), rel=1e-5)


def test_distillation_mixes_the_labels_and_the_last_exit(outputs):
    logits, t, host, labels = outputs
    teacher = np.exp(log_softmax(host[-1], 3.0))
    losses = room.distillation(logits, t)
    for loss, z in zip(losses[:-1], host[:-1]):
        divergence = (teacher * (np.log(teacher) - log_softmax(z, 3.0))).sum(axis=1).mean()
        expected = 0.5 * cross_entropies(z, labels).mean() + 0.5 * 9 * divergence
        assert float(loss.array) == pytest.approx(expected, rel=1e-4)
    sum(losses[:-1]).backward()
    assert logits[-1].grad is None, "the teacher learns nothing from its pupils"


def test_an_exit_that_says_what_the_teacher_says_has_nothing_to_learn_from_it(outputs):
    logits, t, host, labels = outputs
    same = room.distillation([logits[-1], logits[-1]], t)[0]
    assert float(same.array) == pytest.approx(0.5 * cross_entropies(host[-1], labels).mean(), rel=1e-4)


def test_meta_weights_are_near_1_and_have_mean_1(outputs):
    logits, t, _, _ = outputs
    for weights in room.meta_weights(logits, t):
        assert float(weights.mean()) == pytest.approx(1, rel=1e-5)
        assert 1 / 3 <= float(weights.min()) <= float(weights.max()) <= 3


def test_meta_weights_of_mislabelled_samples_fall(device):
    # Nothing is learned yet: all logits are 0. Nearly all samples are of class 0; two are said to be of class 1.
    t = np.zeros(40, dtype=np.int32)
    t[[3, 8]] = 1
    logits = [chainer.Variable(device.send(np.zeros((40, N_CLASSES), dtype=np.float32))) for _ in range(3)]
    for weights in room.meta_weights(logits, device.send(t)):
        weights = to_host(weights)
        assert weights[[3, 8]].max() < 0.7 < 0.99 < np.delete(weights, [3, 8]).min()


def test_equal_shares_leave_at_each_exit_the_surest_first():
    sure = np.array([[9, 0, 0], [0, 0, 0], [5, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=np.float32)
    assert room._exits_of_equal_shares(np, [sure, sure[::-1].copy(), sure]).tolist()[:3:2] == [0, 0]
    later = room._exits_of_equal_shares(np, [sure, sure[::-1].copy(), sure])
    assert np.bincount(later).tolist() == [2, 2, 2] and later[3] == later[5] == 1


def test_a_scaled_gradient_leaves_the_value_alone(device, rng):
    x = chainer.Variable(device.send(rng.normal(size=(2, 3)).astype(np.float32)))
    y = scale_gradient(x, 0.25)
    np.testing.assert_array_equal(to_host(y.array), to_host(x.array))
    F.sum(y * y).backward()
    np.testing.assert_allclose(to_host(x.grad), 0.5 * to_host(x.array), rtol=1e-6)


def test_gradient_equilibrium_gives_each_stage_the_mean_of_the_gradients_of_the_exits_behind_it():
    net = tiny_net(weights=(1.0, 1.0, 1.0))
    value, balanced = loss_and_gradients(net, weighting="gradient-equilibrium")
    plain_value, _ = loss_and_gradients(net)
    assert value == plain_value
    of_exits = [loss_and_gradients(net, loss_weights=np.eye(3)[n])[1] for n in range(3)]
    for name, gradient in balanced.items():
        parts = [of_exit[name] for of_exit in of_exits if name in of_exit]
        behind = {"/trunk/0": 3, "/trunk/1": 2, "/trunk/2": 1}.get(name[:8], 1)
        np.testing.assert_allclose(gradient, sum(parts) / behind, rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", room.weighting_names())
def test_each_weighting_trains_all_exits(tmp_path, name):
    net = tiny_net()
    settings = TrainingSettings(epochs=30, batch_size=8, alpha=1e-2, weighting=name)
    history = train_joint(net, tiny_data(), settings, tmp_path, show_progress=False)
    assert all(entry["validation_accuracy"] > 0.7 for entry in history[-1]["exits"])


def test_heads_alone_are_trained_on_a_trunk_that_stays(tmp_path):
    net = tiny_net()
    before = {name: param.array.copy() for name, param in net.namedparams()}
    settings = TrainingSettings(epochs=1, batch_size=8, alpha=1e-2, heads_only=True)
    train_joint(net, tiny_data(), settings, tmp_path, show_progress=False)
    moved = {name: bool((param.array != before[name]).any()) for name, param in net.namedparams()}
    assert moved == {name: name.startswith("/exits/") for name in moved}


def test_loss_weights_take_the_place_of_the_branches_own():
    losses = [loss_and_gradients(tiny_net(), loss_weights=w)[0] for w in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 3))]
    assert losses[3] == pytest.approx(2 * losses[0] + 3 * losses[2], rel=1e-5)


def test_a_weighting_of_ones_own_is_one_function(tmp_path):
    @room.register_weighting("last-exit-only")
    def last_exit_only(logits, t):
        return [0 * room.plain([z], t)[0] for z in logits[:-1]] + room.plain(logits[-1:], t)

    try:
        value, _ = loss_and_gradients(tiny_net(), weighting="last-exit-only")
        assert value == pytest.approx(loss_and_gradients(tiny_net(), loss_weights=(0, 0, 0.3))[0], rel=1e-6)
    finally:
        room._REGISTRY.pop("last-exit-only")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "luck"}, "weighting: expected one of plain, .*, got 'luck'"),
        ({"weighting": "distillation", "keep": 0.5}, "weighting: expected keep = 1"),
        ({"loss_weights": (1, 2)}, "loss_weights: expected 3 numbers"),
        ({"loss_weights": (1, -1, 1)}, "loss_weights: expected 3 numbers >= 0"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(TrainingError, match=message):
        JointLoss(tiny_net(), **settings)

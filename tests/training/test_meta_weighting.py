"""Learned sample weights: the meta-gradient against finite differences, and what the weights come to."""

import chainer
import chainer.links as L
import numpy as np
import pytest
from tiny import tiny_batch, tiny_net

from branchynet import FL, Branch, BranchyNet
from branchynet.errors import TrainingError
from branchynet.machine.devices import to_host
from branchynet.thresholds import assign_exits
from branchynet.training import ExitOutput, JointLoss
from branchynet.training.weightings.meta import HeadSamples, MetaWeighting, WeightPrediction, meta_gradient, quotas

from .runs import assert_same_arrays, cross_entropies, naive_softmax


def head_samples(rng, n, n_exits=2, n_inputs=4, n_classes=3):
    """Random float64 samples at the heads of some exits."""
    parameters = [rng.normal(size=(n_classes, n_inputs + 1)) for _ in range(n_exits)]

    def draw(n):
        one_hot = np.eye(n_classes)[rng.integers(0, n_classes, n)]
        x = [np.hstack([rng.normal(size=(n, n_inputs)), np.ones((n, 1))]) for _ in range(n_exits)]
        return [HeadSamples(x_k, p_k, one_hot) for x_k, p_k in zip(x, parameters)]

    return draw(n), draw(n + 1)


def naive_meta_loss(train, meta, weights, step_size, leaves_at):
    """Take the step sample by sample, then the loss of the other samples, each where it leaves."""
    total = 0.0
    for k, (train_k, meta_k) in enumerate(zip(train, meta)):
        step = np.zeros_like(train_k.parameters)
        for x, y, w in zip(train_k.x, train_k.one_hot, weights[:, k]):
            step += w * np.outer(naive_softmax(train_k.parameters @ x) - y, x) / len(weights)
        moved = train_k.parameters - step_size * step
        losses = [-np.log(naive_softmax(moved @ x)[y == 1][0]) for x, y in zip(meta_k.x, meta_k.one_hot)]
        here = [loss for loss, exit_index in zip(losses, leaves_at) if exit_index == k]
        total += np.mean(here) if here else 0.0
    return total


@pytest.mark.parametrize("n", [1, 4])
def test_the_meta_gradient_is_that_of_the_step_on_the_heads(rng, n):
    train, meta = head_samples(rng, n)
    weights, step_size, rule = rng.random((n, 2)) + 0.5, 0.3, quotas(2, 0.5)
    moved = [
        s.parameters - step_size / n * sum(w * np.outer(naive_softmax(s.parameters @ x) - y, x)
                                           for x, y, w in zip(s.x, s.one_hot, weights[:, k]))
        for k, s in enumerate(train)
    ]  # fmt: skip
    probabilities = [[naive_softmax(p @ x) for x in s.x] for s, p in zip(meta, moved)]
    entropies = np.array([[-(p * np.log(p)).sum() for p in of_exit] for of_exit in probabilities])
    leaves_at = assign_exits(entropies, rule)
    gradient = meta_gradient(train, meta, weights, step_size, rule)
    for place in np.ndindex(*weights.shape):
        losses = []
        for change in (1e-5, -1e-5):
            changed = weights.copy()
            changed[place] += change
            losses.append(naive_meta_loss(train, meta, changed, step_size, leaves_at))
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-4, abs=1e-9)


def test_the_quotas_are_a_geometric_series(rng):
    exits = assign_exits(rng.random((3, 700)), quotas(3, 0.5))
    np.testing.assert_array_equal(np.bincount(exits), [400, 200, 100])
    np.testing.assert_array_equal(np.bincount(assign_exits(rng.random((2, 10)), quotas(2, 1))), [5, 5])
    assert quotas(1, 0.5).values == ()


def test_predicted_weights_start_at_1_and_stay_within_their_bounds(rng):
    link = WeightPrediction(3, 10, 0.5)
    losses = rng.exponential(size=(20, 3)).astype(np.float32)
    np.testing.assert_array_equal(link(losses).array, np.ones((20, 3)))
    link.weights.W.array[...] = 50 * rng.normal(size=(3, 10))
    weights = link(losses).array
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=1e-6)
    assert (weights > 0.5).all() and (weights < 1.5).all() and weights.std() > 0.1


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_loss_is_that_of_the_predicted_weights(device, n):
    net, (x, t) = tiny_net(device=device), tiny_batch(n)
    weighting = MetaWeighting(net)
    weighting.link.weights.W.array[...] = 1
    with chainer.using_config("train", False):
        exits = [out.array for out in net(device.send(x))]
        loss = JointLoss(net, weighting=weighting)(device.send(x), device.send(t))
    sample_losses = np.stack([cross_entropies(z, t) for z in exits], axis=1).astype(np.float32)
    halves = [sample_losses[: n // 2], sample_losses[n // 2 :]] if n > 1 else [sample_losses]
    weights = np.concatenate([to_host(weighting.link(device.send(half)).array) for half in halves])
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=1e-6)
    expected = (weights * sample_losses).mean(axis=0) @ np.array(net.loss_weights)
    assert float(loss.array) == pytest.approx(expected, rel=1e-4)


def two_heads_that_still_learn(n_inputs=4):
    """A net that is two linear heads on its input, right in direction, but not sure of anything yet."""
    direction = np.array([[-0.02] * n_inputs, [0.02] * n_inputs], np.float32)
    heads = [L.Linear(n_inputs, 2, initialW=direction) for _ in range(2)]
    return BranchyNet([Branch([heads[0]]), FL(chainer.functions.identity), Branch([heads[1]])])


def mislabelled_batch(rng, n=64):
    """Two classes far apart, and one label in eight wrong."""
    truth = rng.integers(0, 2, n)
    x = (rng.normal(size=(n, 4)) + 2.0 * (2 * truth - 1)[:, None]).astype(np.float32)
    wrong = np.arange(n) % 8 == 0
    return x, np.where(wrong, 1 - truth, truth).astype(np.int32), wrong


def test_the_weights_of_mislabelled_samples_fall(device, rng):
    net = two_heads_that_still_learn()
    net.to_device(device)
    loss = JointLoss(net, weighting=MetaWeighting(net, step_size=0.05))
    link = loss.weighting.link
    adam = chainer.optimizers.Adam(alpha=0.05).setup(link)
    for _ in range(30):
        x, t, _ = mislabelled_batch(rng)
        link.cleargrads()
        loss(device.send(x), device.send(t))
        adam.update()
    x, t, wrong = mislabelled_batch(rng)
    logits = net(device.send(x))
    losses = [chainer.functions.softmax_cross_entropy(z, device.send(t), reduce="no").array for z in logits]
    weights = to_host(link(device.xp.stack(losses, axis=1)).array)
    assert (weights[wrong].mean(axis=0) < 0.8).all() and (weights[~wrong].mean(axis=0) > 1).all()


def gradients_of_prediction(x, t, shard_weight=1.0):
    """Gradients of the weight prediction network, from one call of the loss."""
    net = tiny_net()
    loss = JointLoss(net, weighting="meta")
    loss.weighting.link.weights.W.array[...] = 0.1
    loss.weighting.link.cleargrads()
    with chainer.using_config("train", False):
        loss(x, t, shard_weight)
    return {name: param.grad for name, param in loss.weighting.link.namedparams()}


def test_the_gradient_of_a_shard_counts_for_its_samples():
    alone, shared = (gradients_of_prediction(*tiny_batch(6), shard_weight) for shard_weight in (1.0, 1.5))
    assert any(gradient.any() for gradient in alone.values())
    assert_same_arrays(shared, {name: 1.5 * gradient for name, gradient in alone.items()}, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("shard_weight", [1.0, 0.0])
def test_one_sample_alone_weighs_1_and_leaves_a_gradient_of_zero(shard_weight):
    gradients = gradients_of_prediction(*tiny_batch(1), shard_weight)
    assert all(gradient is not None and not gradient.any() for gradient in gradients.values())


def test_an_exit_that_does_not_end_in_a_linear_layer_is_refused():
    net = BranchyNet([Branch([L.Linear(36, 3), FL(chainer.functions.relu)])])
    with pytest.raises(TrainingError, match="expected every exit to end in a Linear, got FL at exit 1"):
        JointLoss(net, weighting="meta")


@pytest.mark.parametrize("change", [{"delta": 0}, {"delta": 1}, {"n_hidden": 0}, {"step_size": 0}, {"quota_ratio": 0}])
def test_constants_out_of_range_are_refused(change):
    with pytest.raises(TrainingError, match="expected a number .*, got"):
        MetaWeighting(tiny_net(), **change)


def test_features_may_be_images(rng):
    x, linear = rng.normal(size=(2, 3, 2, 2)).astype(np.float32), L.Linear(12, 5, nobias=True)
    output = ExitOutput(1, linear(x), np.array([0, 4], np.int32), chainer.Variable(x))
    samples = HeadSamples.of(output, linear)
    np.testing.assert_allclose(samples.x @ samples.parameters.T, output.logits.array, rtol=1e-5, atol=1e-6)

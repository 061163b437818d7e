"""The two training steps: gradients, optimizers, schedules, resumption."""

import dataclasses
import json
import os
import signal

import chainer
import chainer.functions as F
import numpy as np
import pytest
from tiny import SHAPE, as_float, tiny_batch, tiny_data, tiny_net

from branchynet import Branch, BranchyNet
from branchynet.confidence import entropy
from branchynet.devices import to_host
from branchynet.errors import SnapshotError, TrainingError
from branchynet.training import JointLoss, MainLoss, ShuffledBatches, TrainingSettings, train_joint, train_main
from branchynet.training.run import snapshot_path
from branchynet.training.updater import JointUpdater

SETTINGS = TrainingSettings(epochs=2, batch_size=8, alpha=1e-2, seed=3)


def gradients(net):
    return {name: None if p.grad is None else to_host(p.grad).copy() for name, p in net.namedparams()}


def test_the_joint_gradient_is_the_sum_of_the_exits_own_gradients(device):
    net = tiny_net(weights=(1.0, 0.7, 0.3))
    net.to_device(device)
    x, t = (device.send(array) for array in tiny_batch())
    with chainer.using_config("train", False):
        net.cleargrads()
        JointLoss(net)(x, t).backward()
        joint = gradients(net)
        expected = dict.fromkeys(joint, 0.0)
        for exit_index, weight in enumerate(net.loss_weights):
            net.cleargrads()
            F.softmax_cross_entropy(net(x)[exit_index], t).backward()
            for name, gradient in gradients(net).items():
                expected[name] = expected[name] + (0.0 if gradient is None else weight * gradient)
    for name, gradient in joint.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_loss_weights_work():
    x, t = tiny_batch()
    with chainer.using_config("train", False):
        losses = [
            float(JointLoss(tiny_net(weights=w))(x, t).array) for w in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 3, 0.5))
        ]
    np.testing.assert_allclose(losses[3], 2 * losses[0] + 3 * losses[1] + 0.5 * losses[2], rtol=1e-5)


def test_one_optimizer_for_the_trunk_and_one_for_each_exit():
    net = tiny_net()
    targets = JointLoss(net).targets()
    assert list(targets) == ["trunk", "exit1", "exit2", "exit3"]
    params = [id(param) for target in targets.values() for param in target.params()]
    assert sorted(params) == sorted(id(param) for param in net.params())
    assert list(MainLoss(net).targets()) == ["trunk", "exit3"]


def test_the_main_step_moves_trunk_and_last_exit_and_leaves_the_branches_alone(tmp_path):
    net = tiny_net()
    before = {name: param.array.copy() for name, param in net.namedparams()}
    train_main(net, tiny_data(), SETTINGS, tmp_path, show_progress=False)
    moved = {name: bool((param.array != before[name]).any()) for name, param in net.namedparams()}
    assert moved == {name: not name.startswith(("/exits/0/", "/exits/1/")) for name in moved}


def test_the_joint_step_starts_from_all_weights_of_the_main_step_the_last_classifier_included(tmp_path):
    net = tiny_net()
    train_main(net, tiny_data(), SETTINGS, tmp_path, show_progress=False)
    x, t = tiny_batch()
    with chainer.using_config("train", False):
        before = float(F.softmax_cross_entropy(net.baseline()(x), t).array)
        reporter, observation = chainer.Reporter(), {}
        with reporter.scope(observation):
            JointLoss(net)(x, t)
    assert observation["exit3/loss"][0] == pytest.approx(before, rel=1e-6)


def test_training_learns(tmp_path):
    net = tiny_net()
    settings = dataclasses.replace(SETTINGS, epochs=15)
    history = train_main(net, tiny_data(), settings, tmp_path, show_progress=False)
    history += train_joint(net, tiny_data(), settings, tmp_path, show_progress=False)
    assert [entry["phase"] for entry in history] == ["main"] * 15 + ["joint"] * 15
    assert [e["exit"] for e in history[0]["exits"]] == [3]
    assert [e["exit"] for e in history[-1]["exits"]] == [1, 2, 3]
    assert all(e["validation_accuracy"] > 0.8 for e in history[-1]["exits"])
    log = json.loads((tmp_path / "joint.log.json").read_text())
    assert log[-1]["exit1/loss"] == history[-1]["exits"][0]["loss"]


def test_keep_trains_later_exits_on_the_least_confident_samples(device):
    net = tiny_net()
    net.to_device(device)
    x, t = tiny_batch(20)
    seen = []
    net.trunk[1].layers.insert(0, lambda h: seen.append(to_host(h.array)) or h)
    reporter, observation = chainer.Reporter(), {}
    with reporter.scope(observation), chainer.using_config("train", False):
        JointLoss(net, keep=0.25)(device.send(x), device.send(t))
        h = net.trunk[0](device.send(x))
        logits = net.exits[0](h).array
    least_confident = np.sort(np.argsort(to_host(entropy(logits)))[-5:])
    np.testing.assert_array_equal(seen[0], to_host(h.array)[least_confident])
    assert [observation[f"exit{n}/loss"][1] for n in (1, 2, 3)] == [20, 5, 2]


@pytest.mark.parametrize("keep", [0, -0.1, 1.5, (0.5,), (0.5, 0.5, 0.5)])
def test_shares_to_keep_that_are_none_are_refused(keep):
    with pytest.raises(TrainingError, match="keep: expected"):
        JointLoss(tiny_net(), keep)


def test_a_pass_shows_every_sample_once_in_an_order_of_its_own():
    data = tiny_data(n=10)
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    batches = ShuffledBatches(images, data.train_labels, 4, lambda x: x.astype(np.float32), seed=1)
    passes = [[next(batches) for _ in range(batches.batches_per_epoch)] for _ in range(2)]
    orders = [[int(v) for x, _ in batch_list for v in x.ravel()] for batch_list in passes]
    assert [len(x) for x, _ in passes[0]] == [4, 4, 2]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    assert batches.epoch == 2 and batches.is_new_epoch
    for x, t in passes[0]:
        np.testing.assert_array_equal(data.train_labels[x.ravel().astype(int)], t)


def test_the_schedules():
    constant = TrainingSettings(epochs=1, schedule="constant", alpha=0.1)
    assert {constant.alpha_at(i, 100) for i in range(100)} == {0.1}
    alphas = [TrainingSettings(epochs=1, alpha=0.1).alpha_at(i, 101) for i in range(101)]
    assert alphas[0] == pytest.approx(0.01) and max(alphas) == alphas[25] == pytest.approx(0.1)
    assert alphas[:26] == sorted(alphas[:26]) and alphas[25:] == sorted(alphas[25:], reverse=True)
    assert alphas[-1] == pytest.approx(0.0002)


def test_weight_decay_takes_a_share_off_the_weights_alone_and_follows_alpha(device):
    nets = [tiny_net(), tiny_net()]
    for net, weight_decay in zip(nets, (0.0, 0.5)):
        net.initialise(SHAPE)
        net.to_device(device)
        settings = TrainingSettings(epochs=1, alpha=0.1, weight_decay=weight_decay)
        adam = settings.adam(net)
        settings.set_alpha(adam, 0.02)
        for param in net.params():
            param.grad = param.array * 0 + 1
        adam.update()
    plain, decayed = ({name: to_host(param.array) for name, param in net.namedparams()} for net in nets)
    for name, first in tiny_net().namedparams():
        share = 0.02 * 0.5 if first.ndim > 1 else 0
        expected = plain[name] - share * first.array
        np.testing.assert_allclose(decayed[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_papers_constants():
    adam = TrainingSettings.paper(epochs=50).adam(tiny_net())
    assert (adam.alpha, adam.beta1, adam.beta2) == (0.001, 0.99, 0.999)
    assert TrainingSettings.paper(epochs=50).batch_size == 512


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"batch_size": 0}, {"alpha": 0.0}, {"schedule": "step"}, {"weight_decay": -0.1}]
)
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(ValueError, match="expected"):
        dataclasses.replace(SETTINGS, **change)


class Killed(Exception):
    """Stands for a process that ends in the middle of a run."""


def killing_prepare(n_calls):
    """A preparation of images that ends the run at its n-th call."""
    calls = []

    def prepare(images):
        calls.append(1)
        if len(calls) == n_calls:
            raise Killed
        return as_float(images)

    return prepare


def train_both(net, data, out, resume=False):
    history = train_main(net, data, SETTINGS, out, resume, show_progress=False)
    return history + train_joint(net, data, SETTINGS, out, resume, show_progress=False)


def without_times(history):
    return [{key: value for key, value in entry.items() if key != "elapsed_s"} for entry in history]


@pytest.mark.parametrize("n_calls", [3, 12, 20, 28])
def test_a_killed_run_resumes_to_the_same_result(tmp_path, n_calls):
    whole, killed = tiny_net(), tiny_net()
    (tmp_path / "whole").mkdir(), (tmp_path / "killed").mkdir()
    history = train_both(whole, tiny_data(), tmp_path / "whole")
    with pytest.raises(Killed):
        train_both(killed, tiny_data(prepare=killing_prepare(n_calls)), tmp_path / "killed")
    resumed = tiny_net()
    resumed_history = train_both(resumed, tiny_data(), tmp_path / "killed", resume=True)
    for (name, ours), (_, theirs) in zip(resumed.namedparams(), whole.namedparams()):
        np.testing.assert_array_equal(ours.array, theirs.array, err_msg=name)
    assert without_times(resumed_history) == without_times(history)


def test_ctrl_c_leaves_a_snapshot_from_which_the_run_goes_on_to_the_same_result(tmp_path):
    whole, stopped = tiny_net(), tiny_net()
    (tmp_path / "whole").mkdir(), (tmp_path / "stopped").mkdir()
    history = train_both(whole, tiny_data(), tmp_path / "whole")
    calls = []

    def interrupting_prepare(images):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return as_float(images)

    with pytest.raises(KeyboardInterrupt):
        train_both(stopped, tiny_data(prepare=interrupting_prepare), tmp_path / "stopped")
    assert len(calls) == 5, "it stopped after the step in hand"
    resumed = tiny_net()
    resumed_history = train_both(resumed, tiny_data(), tmp_path / "stopped", resume=True)
    for (name, ours), (_, theirs) in zip(resumed.namedparams(), whole.namedparams()):
        np.testing.assert_array_equal(ours.array, theirs.array, err_msg=name)
    assert without_times(resumed_history) == without_times(history)


def test_resuming_a_finished_run_trains_no_further(tmp_path):
    net, again = tiny_net(), tiny_net(seed=9)
    history = train_both(net, tiny_data(), tmp_path)
    # One call of `prepare` a phase tells the shape of a sample; a step would be the second or the third.
    assert train_both(again, tiny_data(prepare=killing_prepare(3)), tmp_path, resume=True) == history
    for (name, ours), (_, theirs) in zip(again.namedparams(), net.namedparams()):
        np.testing.assert_array_equal(ours.array, theirs.array, err_msg=name)


def test_a_snapshot_of_another_network_is_refused(tmp_path):
    train_main(tiny_net(), tiny_data(), SETTINGS, tmp_path, show_progress=False)
    other = BranchyNet([Branch([chainer.links.Linear(36, 3)])])
    with pytest.raises(SnapshotError, match="another network: expected 1 exits, got 3"):
        train_main(other, tiny_data(), SETTINGS, tmp_path, resume=True, show_progress=False)


def test_a_snapshot_of_other_settings_is_refused(tmp_path):
    train_main(tiny_net(), tiny_data(), SETTINGS, tmp_path, show_progress=False)
    other = dataclasses.replace(SETTINGS, batch_size=16)
    with pytest.raises(SnapshotError, match="batch_size: expected 16, got 8"):
        train_main(tiny_net(), tiny_data(), other, tmp_path, resume=True, show_progress=False)


def test_a_truncated_snapshot_is_refused(tmp_path):
    train_main(tiny_net(), tiny_data(), SETTINGS, tmp_path, show_progress=False)
    path = snapshot_path(tmp_path, "main")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SnapshotError, match="readable"):
        train_main(tiny_net(), tiny_data(), SETTINGS, tmp_path, resume=True, show_progress=False)


def test_a_loss_that_is_not_a_number_stops_the_run_and_says_where(tmp_path):
    calls = []

    def prepare(images):
        calls.append(1)
        return as_float(images) * np.float32(np.nan if len(calls) == 5 else 1)

    with pytest.raises(TrainingError, match=r"the loss is nan at iteration 4 \(epoch 1\): try a smaller learning rate"):
        train_main(tiny_net(), tiny_data(prepare=prepare), SETTINGS, tmp_path, show_progress=False)


def test_training_needs_one_forward_and_one_backward_pass_a_step(device):
    net = tiny_net()
    net.to_device(device)
    calls = []
    net.trunk[0].layers.insert(0, lambda x: calls.append(1) or x)
    data = tiny_data()
    batches = ShuffledBatches(data.train_images, data.train_labels, 8, as_float)
    JointUpdater(batches, JointLoss(net), SETTINGS, 10, device).update()
    assert len(calls) == 1

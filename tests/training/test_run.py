"""The two training steps: what they move, what they leave in the folder, what they refuse."""

import dataclasses
import json
from types import SimpleNamespace

import chainer
import chainer.functions as F
import numpy as np
import pytest
from tiny import N_CLASSES, as_float, moved, state_of, tiny_batch, tiny_net, tiny_splits

from branchynet.datasets import Samples
from branchynet.errors import OutputError, TrainingError
from branchynet.machine.files import locked
from branchynet.training import JointLoss, ShuffledBatches
from branchynet.training.updater import JointUpdater

from .runs import SETTINGS, acting_at, both, joint, kill, plain
from .test_loss import net_with_statistics, reports_of

NAMES = ("confidence", "distillation", "gradient-equilibrium", "meta")


def test_the_plain_step_moves_trunk_and_last_exit_and_leaves_the_branches_alone(tmp_path):
    net = tiny_net()
    before = state_of(net)
    plain(net, tmp_path)
    assert moved(before, state_of(net)) == {name for name in before if not name.startswith(("exits/0/", "exits/1/"))}


def test_the_joint_step_starts_from_all_weights_of_the_plain_step_the_last_classifier_included(tmp_path):
    net, (x, t) = tiny_net(), tiny_batch()
    plain(net, tmp_path)
    with chainer.using_config("train", False):
        before = float(F.softmax_cross_entropy(net.plain()(x), t).array)
    assert reports_of(JointLoss(net), x, t)["exit3/loss"][0] == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("changes", [{}, *({"weighting": name} for name in NAMES), {"average": 0.9}], ids=str)
def test_a_frozen_trunk_stays_untouched_and_all_exits_move(tmp_path, changes):
    net = net_with_statistics()
    trunk, exits = state_of(net.trunk), state_of(net.exits)
    history = joint(net, tmp_path, dataclasses.replace(SETTINGS, freeze_trunk=True, **changes))
    assert moved(trunk, state_of(net.trunk)) == set()
    still = set(exits) - moved(exits, state_of(net.exits))
    assert still == {"0/0/N"}, "all but a counter that Chainer moves in fine-tuning only"
    assert [entry["exit"] for entry in history[-1]["exits"]] == [1, 2]


def test_training_learns_and_leaves_logs_and_snapshots_in_a_folder_that_it_makes(tmp_path):
    out = tmp_path / "made" / "here"
    history = both(tiny_net(), out, settings=dataclasses.replace(SETTINGS, epochs=15))
    assert [entry["phase"] for entry in history] == ["plain"] * 15 + ["joint"] * 15
    assert [entry["epoch"] for entry in history] == 2 * list(range(1, 16))
    assert [e["exit"] for e in history[0]["exits"]] == [3]
    assert [e["exit"] for e in history[-1]["exits"]] == [1, 2, 3]
    assert all(e["validation_accuracy"] > 0.8 for e in history[-1]["exits"])
    log = json.loads((out / "joint.log.json").read_text())
    assert log[-1]["exit1/loss"] == history[-1]["exits"][0]["loss"]
    assert log[-1]["validation/exit1/loss"] == history[-1]["exits"][0]["validation_loss"]
    files = ["joint.log.json", "joint.snapshot.npz", "plain.log.json", "plain.snapshot.npz"]
    assert sorted(path.name for path in out.iterdir()) == files


def test_a_second_run_at_once_in_one_folder_is_refused(tmp_path):
    def start_another():
        with pytest.raises(OutputError, match="expected a folder that no other run writes into"):
            joint(tiny_net(), tmp_path)

    transform = acting_at(4, start_another)
    plain(tiny_net(), tmp_path, transform=transform)
    assert len(transform.calls) > 4, "the first run went on"
    with locked(tmp_path), pytest.raises(OutputError, match="in use"):
        plain(tiny_net(), tmp_path)


@pytest.mark.parametrize(
    ("labels", "found"), [([0, 1, N_CLASSES], "0 to 3"), ([0, 1, -1], "-1 to 1"), ([], "none")], ids=str
)
@pytest.mark.parametrize("part", ["train", "validation"])
def test_labels_that_the_network_has_no_class_for_are_refused_before_any_step(tmp_path, part, labels, found):
    samples = Samples(tiny_splits().train.images[: len(labels)], np.array(labels, np.int32))
    splits = dataclasses.replace(tiny_splits(), **{part: samples})
    with pytest.raises(TrainingError, match=rf"labels \({part}\): expected at least one, in 0 to 2, got {found}"):
        plain(tiny_net(), tmp_path, splits=splits)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_a_number_stops_the_run_and_says_where(tmp_path):
    calls = []

    def transform(images):
        calls.append(1)
        return as_float(images) * np.float32(np.nan if len(calls) == 5 else 1)

    with pytest.raises(TrainingError, match=r"the loss is nan at iteration 4 \(epoch 1\): try a smaller learning rate"):
        plain(tiny_net(), tmp_path, transform=transform)


def test_training_needs_one_forward_and_one_backward_pass_a_step(device):
    net = tiny_net(device=device)
    calls = []
    net.trunk[0].layers = (lambda x: calls.append(1) or x, *net.trunk[0].layers)
    batches = ShuffledBatches(tiny_splits().train, 8, as_float)
    JointUpdater(batches, JointLoss(net), SETTINGS, 10, device).update()
    assert len(calls) == 1


def test_augmentation_changes_what_is_trained_on_and_not_what_is_validated(tmp_path):
    seen = []

    def transform(images):
        seen.append((len(images), bool(images.any())))
        return as_float(images)

    plain(tiny_net(), tmp_path, transform=transform, augment=lambda images, rng: np.zeros_like(images))
    epoch = [(8, False)] * 6 + [(2, False), (20, True)]
    assert seen == [(1, True), *epoch, *epoch], "the first image is asked for its shape"


def test_a_disk_without_room_for_a_snapshot_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    transform = acting_at(2, kill)  # the first call tells the shape of a sample
    with pytest.raises(OutputError, match="of free space"):
        plain(tiny_net(), tmp_path, transform=transform)


def test_a_network_whose_snapshots_nobody_could_read_again_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("branchynet.training.run.MOST_BYTES", 1000)
    with pytest.raises(TrainingError, match=r"expected snapshots of at most 1,000 bytes, got a net with [0-9,]+"):
        plain(tiny_net(), tmp_path)

"""A run that was stopped goes on to the result of one that was not; a snapshot of another run is refused."""

import dataclasses
import os
import signal

import chainer
import numpy as np
import pytest
from tiny import as_float, tiny_net, tiny_splits

from branchynet import Branch, BranchyNet
from branchynet.datasets import Samples
from branchynet.datasets.augmentation import random_flip, random_shift
from branchynet.datasets.transforms import Normalise, scale
from branchynet.errors import SnapshotError
from branchynet.training.run import snapshot_path

from .runs import SETTINGS, Killed, acting_at, assert_same_run, both, joint, kill, plain, trained
from .test_run import NAMES


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The net and the history of a run of both steps that was not interrupted."""
    return trained(both, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("n_calls", [3, 12, 20, 28])
def test_a_killed_run_goes_on_to_the_same_result(tmp_path, whole, n_calls):
    with pytest.raises(Killed):
        trained(both, tmp_path, transform=acting_at(n_calls, kill))
    assert_same_run(trained(both, tmp_path, resume=True), whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_snapshot_from_which_the_run_goes_on_to_the_same_result(tmp_path, whole, number):
    transform = acting_at(5, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt):
        trained(both, tmp_path, transform=transform)
    assert len(transform.calls) == 5, "it stopped after the step in hand"
    assert_same_run(trained(both, tmp_path, resume=True), whole)


def test_ctrl_c_in_the_last_validation_of_a_phase_keeps_the_next_one_from_starting(tmp_path, whole):
    counted = acting_at(None, kill)
    trained(plain, tmp_path / "plain", transform=counted)
    transform = acting_at(len(counted.calls), lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trained(both, tmp_path / "both", transform=transform)
    assert len(transform.calls) == len(counted.calls)
    assert_same_run(trained(both, tmp_path / "both", resume=True), whole)


def test_the_history_tells_which_piece_of_a_run_made_an_epoch(tmp_path, whole):
    settings = dataclasses.replace(SETTINGS, epochs=3)
    assert [entry["piece"] for entry in whole[1]] == [1, 1, 1, 1]
    for n_calls in (10, 10):
        with pytest.raises(Killed):
            trained(plain, tmp_path, settings=settings, transform=acting_at(n_calls, kill), resume=True)
    _, history = trained(plain, tmp_path, settings=settings, resume=True)
    assert [(entry["epoch"], entry["piece"]) for entry in history] == [(1, 1), (2, 2), (3, 3)]


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def interrupt_twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(plain, tmp_path, transform=acting_at(5, interrupt_twice))
    assert list(tmp_path.iterdir()) == []


# What a snapshot of the joint step has to hold besides.
WAYS = [
    *({"weighting": name} for name in NAMES),
    {"freeze_trunk": True},
    {"average": 0.9},
    {"average": 0.9, "freeze_trunk": True},
    {"loss_weights": (1, 0.5, 0.3), "keep": (0.5, 1)},
]


@pytest.mark.parametrize("changes", WAYS, ids=str)
def test_a_killed_joint_run_goes_on_to_the_same_result_whatever_the_settings(tmp_path, changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    whole = trained(joint, tmp_path / "whole", settings=settings)
    with pytest.raises(Killed):
        trained(joint, tmp_path / "killed", settings=settings, transform=acting_at(12, kill))
    assert_same_run(trained(joint, tmp_path / "killed", settings=settings, resume=True), whole)
    assert_same_run(trained(joint, tmp_path / "whole", settings=settings, resume=True), whole)


def test_going_on_with_a_finished_run_trains_no_further(tmp_path):
    net, history = trained(both, tmp_path)
    # One call of the transform a phase tells the shape of a sample; a step would be the second or the third.
    again = trained(both, tmp_path, transform=acting_at(3, kill), resume=True)
    assert again[1] == history
    assert_same_run(again, (net, history))


SPLITS = tiny_splits()
TRAIN = SPLITS.train


def shifted(images, rng):
    """Images shifted at random by a pixel."""
    return random_shift(images, rng, max_shift=1)


def with_train(images, labels):
    return {"splits": dataclasses.replace(SPLITS, train=Samples(images, labels))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": dataclasses.replace(SETTINGS, batch_size=16)}, "batch_size: expected 16, got 8"),
        (
            {"settings": dataclasses.replace(SETTINGS, loss_weights=(1, 1, 1))},
            r"loss_weights: expected \[1.*, got None",
        ),
        ({"settings": dataclasses.replace(SETTINGS, freeze_trunk=True)}, "freeze_trunk: expected True, got False"),
        ({"splits": tiny_splits(n=49)}, "n_samples: expected 49, got 50"),
        (with_train(TRAIN.images[::-1], TRAIN.labels), "images_sha256: expected [0-9a-f]{64}, got [0-9a-f]{64}"),
        (with_train(TRAIN.images, TRAIN.labels[::-1]), "labels_sha256: expected [0-9a-f]{64}, got [0-9a-f]{64}"),
        ({"transform": as_float}, "transform: expected None, got normalise"),
        ({"transform": scale}, "transform: expected scale, got normalise"),
        ({"transform": Normalise((0.5,), (0.2,))}, "transform_sha256: expected [0-9a-f]{64}, got [0-9a-f]{64}"),
        ({"augment": None}, "augmented_sha256: expected None, got [0-9a-f]{64}"),
        ({"augment": random_flip}, "augmented_sha256: expected [0-9a-f]{64}, got [0-9a-f]{64}"),
    ],
)
def test_a_snapshot_of_another_run_is_refused(tmp_path, changes, message):
    options = {"splits": SPLITS, "transform": Normalise((0.5,), (0.25,)), "augment": shifted}
    trained(joint, tmp_path, **options)
    with pytest.raises(SnapshotError, match=f"is of another run: {message}"):
        trained(joint, tmp_path, **{**options, **changes}, resume=True)


def test_a_joint_run_does_not_go_on_from_another_plain_network(tmp_path):
    joint(tiny_net(), tmp_path)
    other = tiny_net()
    other.trunk[1][0].b.array[0] += 1e-6
    with pytest.raises(SnapshotError, match="start_weights_sha256: expected [0-9a-f]{64}, got [0-9a-f]{64}"):
        joint(other, tmp_path, resume=True)
    other.trunk[1][0].b.array[0] = 0
    assert joint(other, tmp_path, resume=True)


def test_a_snapshot_of_another_network_is_refused(tmp_path):
    plain(tiny_net(), tmp_path)
    other = BranchyNet([Branch([chainer.links.Linear(36, 3)])])
    with pytest.raises(SnapshotError, match="another network: expected 1 exits, got 3"):
        plain(other, tmp_path, resume=True)


def test_a_truncated_snapshot_is_refused(tmp_path):
    plain(tiny_net(), tmp_path)
    path = snapshot_path(tmp_path, "plain")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SnapshotError, match="readable"):
        plain(tiny_net(), tmp_path, resume=True)


def test_parameters_and_optimizer_of_a_weighting_are_in_the_snapshot(tmp_path):
    joint(tiny_net(), tmp_path, dataclasses.replace(SETTINGS, weighting="meta"))
    with np.load(snapshot_path(tmp_path, "joint")) as arrays:
        (weights,) = (arrays[key] for key in arrays.files if key.endswith("model:weighting/weights/W"))
        assert weights.any(), "they have moved"
        assert any("optimizer:weighting/" in key and key.endswith("/m") for key in arrays.files)

"""The moving average of the weights: what it is, where it is used, and that a stopped run goes on with it."""

import dataclasses
import math

import chainer.links as L
import numpy as np
import pytest
from tiny import N_CLASSES, SHAPE, as_float, drawn_net, moved, state_of, tiny_splits

from branchynet import FL, Branch
from branchynet.errors import SnapshotError, TrainingError
from branchynet.inference import record_exits
from branchynet.links import BatchNormalization, Convolution2D
from branchynet.training import TrainingSettings
from branchynet.training.averaging import WeightAverage

from .runs import SETTINGS, Killed, acting_at, joint, kill, trained

AVERAGED = dataclasses.replace(SETTINGS, average=0.9)


def set_all(link, value):
    for param in link.params():
        param.array[...] = value


def test_the_average_is_that_of_a_naive_loop_that_starts_slowly(device):
    link, expected = L.Linear(2, 3), 1.0
    link.to_device(device)
    set_all(link, 1.0)
    average = WeightAverage({"link": link}, decay=0.5)
    for iteration, value in enumerate([3.0, -1.0, 4.0, 1.5, 9.0, 2.0, 6.0, 5.0, 3.5, 8.0, 9.5, 7.0]):
        set_all(link, value)
        average.update(iteration)
        decay = min(0.5, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * value
    with average.exchanged():
        for param in link.params():
            device.xp.testing.assert_allclose(param.array, math.fsum([expected]), rtol=1e-5)
    assert all((param.array == 7.0).all() for param in link.params()), "the weights of the last step are back"


def test_running_statistics_of_batch_normalisation_are_averaged_too():
    link = BatchNormalization(4)
    average = WeightAverage({"link": link}, decay=0.9)
    link.avg_mean[...], link.avg_var[...] = 5.0, 3.0
    average.update(0)
    with average.exchanged():
        np.testing.assert_allclose(link.avg_mean, 0.9 * 5.0, rtol=1e-6)
        np.testing.assert_allclose(link.avg_var, 1 + 0.9 * 2.0, rtol=1e-6)
    assert link.avg_mean[0] == 5.0


def test_the_average_is_the_result_and_is_what_is_validated(tmp_path):
    raw, _ = trained(joint, tmp_path / "raw")
    net, history = trained(joint, tmp_path / "averaged", settings=AVERAGED)
    assert moved(state_of(raw), state_of(net))
    validation = tiny_splits().validation
    accuracies = record_exits(net, as_float(validation.images), validation.labels).exit_accuracies()
    assert [entry["validation_accuracy"] for entry in history[-1]["exits"]] == pytest.approx(accuracies.tolist())


def test_the_steps_themselves_do_not_know_of_the_average(tmp_path):
    raw = trained(joint, tmp_path / "raw")[1]
    averaged = trained(joint, tmp_path / "averaged", settings=AVERAGED)[1]
    for one, other in zip(raw, averaged):
        assert [entry["loss"] for entry in one["exits"]] == [entry["loss"] for entry in other["exits"]]


def test_statistics_are_in_the_snapshot_too(tmp_path):
    def layers():
        first = [Convolution2D(1, 2, 3), BatchNormalization(2), Branch([L.Linear(None, N_CLASSES)])]
        return [*first, FL(lambda x: x), Branch([L.Linear(None, N_CLASSES)])]

    whole, killed, resumed = (drawn_net(layers, SHAPE) for _ in range(3))
    joint(whole, tmp_path / "whole", settings=AVERAGED)
    with pytest.raises(Killed):
        joint(killed, tmp_path / "killed", settings=AVERAGED, transform=acting_at(12, kill))
    joint(resumed, tmp_path / "killed", settings=AVERAGED, resume=True)
    assert moved(state_of(whole), state_of(resumed)) == set()


def test_a_snapshot_of_before_there_was_an_average_is_taken_and_one_with_another_is_refused(tmp_path):
    from branchynet.serialization import read_snapshot_description
    from branchynet.training.run import snapshot_path

    trained(joint, tmp_path)
    assert "average" not in read_snapshot_description(snapshot_path(tmp_path, "joint"))
    with pytest.raises(SnapshotError, match=r"average: expected 0\.9, got None"):
        trained(joint, tmp_path, settings=AVERAGED, resume=True)
    with pytest.raises(TrainingError, match=r"average: expected a number in \[0, 1\)"):
        TrainingSettings(epochs=1, average=1.0)

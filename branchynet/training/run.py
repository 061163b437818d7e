"""The two training steps, each a Trainer run with a log, snapshots and resumption."""

from __future__ import annotations

import dataclasses
import pathlib
import typing

import chainer
import numpy as np
from chainer.training import extensions as chainer_extensions

from branchynet import serialization
from branchynet.errors import SnapshotError
from branchynet.processes import Processes
from branchynet.training.batches import ShuffledBatches
from branchynet.training.extensions import Progress, StopRequest, validation
from branchynet.training.loss import JointLoss, MainLoss
from branchynet.training.settings import TrainingSettings
from branchynet.training.updater import JointUpdater


@dataclasses.dataclass(frozen=True)
class Data:
    """What a network is trained and validated on.

    Attributes:
        train_images, validation_images: (N, C, H, W) uint8.
        train_labels, validation_labels: (N,) int32.
        prepare: images uint8 -> float32, used in training, validation and inference alike.
        augment: None, or (images uint8, numpy Generator) -> images uint8, used in training only.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    prepare: typing.Callable
    augment: typing.Callable | None = None


def train_main(net, data, settings, out, resume=False, show_progress=True, processes=None) -> list:
    """Step 1: trains the main network, trunk and last exit, without the branches.

    Args:
        net: a `BranchyNet`; trained in place, on its device.
        data: `Data`.
        settings: `TrainingSettings`.
        out: folder for `main.log.json` and `main.snapshot.npz`, written after every epoch.
        resume: go on from the snapshot, if there is one; the result is that of a run that was not interrupted.
        show_progress: progress on stderr.
        processes: `branchynet.processes.Processes` that train together, each calling this; the first one writes.

    Returns:
        the history, one dict an epoch (see `branchynet.records`).

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; a snapshot was taken first.
        TrainingError: the loss is not finite.
        SnapshotError: the snapshot belongs to another network or to other settings.
        OutputError: the log or a snapshot cannot be written.
    """
    return _train("main", MainLoss(net), net, data, settings, out, resume, show_progress, processes)


def train_joint(net, data, settings, out, resume=False, show_progress=True, processes=None) -> list:
    """Step 2: trains trunk and exits jointly, starting from all the weights that `net` has, the last classifier's too.

    With ``settings.trains == "heads"`` the trunk stays as it is and the exits alone are trained.

    Arguments, result and errors are those of `train_main`; the files are `joint.log.json` and `joint.snapshot.npz`.
    """
    return _train("joint", JointLoss.of(net, settings), net, data, settings, out, resume, show_progress, processes)


def snapshot_path(out, phase) -> pathlib.Path:
    """Where the snapshot of a phase, "main" or "joint", lies in the output folder of a run."""
    return pathlib.Path(out) / f"{phase}.snapshot.npz"


def _train(phase, loss, net, data, settings, out, resume, show_progress, processes):
    processes = processes or Processes()
    net.initialise(data.prepare(data.train_images[:1]).shape[1:])
    processes.send_first_weights(net)
    batches = ShuffledBatches(
        data.train_images, data.train_labels, settings.batch_size, data.prepare, settings.seed, data.augment, processes
    )
    n_iterations = settings.epochs * batches.batches_per_epoch
    updater = JointUpdater(batches, loss, settings, n_iterations, net.device, processes)
    stop = StopRequest()
    trainer = chainer.training.Trainer(
        updater,
        # All processes stop after the same step, whichever was asked to.
        stop_trigger=lambda trainer: processes.any(stop.requested) or trainer.updater.iteration >= n_iterations,
        out=str(out),
    )
    log_report = chainer_extensions.LogReport(filename=f"{phase}.log.json" if processes.is_first else None)
    validate = validation(loss, data.validation_images, data.validation_labels, data.prepare, net.device, processes)
    trainer.extend(validate, name="validation", trigger=(1, "epoch"), priority=chainer.training.PRIORITY_WRITER)
    trainer.extend(log_report, name="log")
    show_progress = show_progress and processes.is_first
    trainer.extend(Progress(phase, log_report, settings.epochs, n_iterations, show_progress), name="progress")

    path = snapshot_path(out, phase)
    # The kind of JSON it will come back as, so that a saved description equals a fresh one.
    description = {"phase": phase, "settings": _jsonable(settings), "n_samples": len(data.train_images)}
    description["architecture"] = net.describe()

    def save(trainer):
        if processes.is_first:
            serialization.save_snapshot(trainer, path, description)

    trainer.extend(save, name="snapshot", trigger=(1, "epoch"), priority=-100)
    if resume and path.exists():
        _check_same_run(path, description, net)
        serialization.load_snapshot(trainer, path)
    with stop.listening():
        trainer.run(show_loop_exception_msg=False)
    if updater.iteration < n_iterations:
        save(trainer)
        raise KeyboardInterrupt
    return [_history_entry(phase, entry) for entry in log_report.log]


def _check_same_run(path, description, net):
    saved = serialization.read_snapshot_description(path)
    serialization.check_architecture(path, saved.get("architecture"), net)
    for key in ("phase", "n_samples"):
        if saved.get(key) != description[key]:
            raise SnapshotError(f"{path} is of another run: {key}: expected {description[key]}, got {saved.get(key)}")
    # A snapshot from before there was a setting was made with what is its default now.
    settings = {**TrainingSettings.defaults(), **saved.get("settings", {})}
    for key, value in description["settings"].items():
        found = settings.get(key)
        if found != value:
            raise SnapshotError(
                f"{path} is of another run: {key}: expected {value}, got {found}; give the same settings"
            )


def _jsonable(settings):
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(settings).items()
    }


def _history_entry(phase, entry):
    """One entry of Chainer's log, in the form that the records keep."""
    names = sorted({key.split("/")[0] for key in entry if key.startswith("exit")}, key=lambda name: int(name[4:]))
    exits = [
        {
            "exit": int(name[4:]),
            "loss": entry[f"{name}/loss"],
            "accuracy": entry[f"{name}/accuracy"],
            "validation_loss": entry[f"validation/{name}/loss"],
            "validation_accuracy": entry[f"validation/{name}/accuracy"],
        }
        for name in names
    ]
    return {
        "phase": phase,
        "epoch": entry["epoch"],
        "iteration": entry["iteration"],
        "elapsed_s": entry["elapsed_time"],
        "exits": exits,
    }

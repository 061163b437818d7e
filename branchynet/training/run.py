"""The two training steps, each a Trainer run with a log, snapshots and resumption."""

import contextlib
import json
import os
import pathlib

import chainer
from chainer.training import extensions as chainer_extensions

from branchynet import serialization
from branchynet.datasets import Splits
from branchynet.errors import OutputError, TrainingError
from branchynet.gate import shown, transformed
from branchynet.machine.files import check_space, locked, replacing
from branchynet.machine.reading import MOST_BYTES
from branchynet.machine.workers import Workers
from branchynet.net import BranchyNet
from branchynet.training.batches import ShuffledBatches
from branchynet.training.extensions import Progress, StopRequest, validation
from branchynet.training.loss import JointLoss, PlainLoss
from branchynet.training.settings import TrainingSettings
from branchynet.training.snapshots import check_same_phase, describe_phase
from branchynet.training.updater import JointUpdater


def train_plain(
    net, splits, transform, settings, out, augment=None, resume=False, show_progress=True, workers=None
) -> list:
    """Step 1: trains the plain network, trunk and last exit, without the branches.

    Args:
        net: a `BranchyNet`; trained in place, on its device.
        splits: `branchynet.datasets.Splits`, of which the training and the validation part are used.
        transform: images uint8 -> float32, used in training, validation and inference alike.
        settings: `TrainingSettings`.
        out: folder for `plain.log.json` and `plain.snapshot.npz`, written after every epoch; made if it is not there.
        augment: None, or (images uint8, numpy Generator) -> images uint8, used in training only.
        resume: go on from the snapshot, if there is one; the result is that of a run that was not interrupted.
        show_progress: progress on stderr.
        workers: `branchynet.machine.workers.Workers` that train together, each calling this; the first one writes.

    Returns:
        the history, one dict an epoch (see `branchynet.records`).

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; a snapshot was taken first.
        TrainingError: labels that the network has no class for, or a loss that is not finite.
        SnapshotError: the snapshot belongs to another network, to other data or to other settings.
        OutputError: another run writes into the folder, or log or snapshot cannot be written.
    """
    return _train("plain", net, splits, transform, settings, out, augment, resume, show_progress, workers)


def train_joint(
    net, splits, transform, settings, out, augment=None, resume=False, show_progress=True, workers=None
) -> list:
    """Step 2: trains trunk and exits jointly, starting from all the weights that `net` has, the last exit's too.

    With ``settings.freeze_trunk`` the trunk stays as it is and the exits alone are trained. To go on from a snapshot,
    `net` is handed in with the weights that the step started from.

    Arguments, result and errors are those of `train_plain`; the files are `joint.log.json` and `joint.snapshot.npz`.
    """
    return _train("joint", net, splits, transform, settings, out, augment, resume, show_progress, workers)


def train_longer(
    net, splits, transform, settings, out, augment=None, resume=False, show_progress=True, workers=None
) -> list:
    """Trains the plain network on, from the weights that `net` has, as step 2 does with the branchy one: what early
    exits gain or lose is fairly told against a plain network that was trained as long.

    Arguments, result and errors are those of `train_plain`; the files are `longer.log.json` and `longer.snapshot.npz`.
    """
    return _train("longer", net, splits, transform, settings, out, augment, resume, show_progress, workers)


def snapshot_path(out, phase) -> pathlib.Path:
    """Where the snapshot of a phase, "plain", "joint" or "longer", lies in the output folder of a run."""
    if not out or not isinstance(out, (str, os.PathLike)):
        raise OutputError(f"out: expected the name of a folder, got {shown(out)}")
    return pathlib.Path(out) / f"{phase}.snapshot.npz"


def snapshot_bytes(net) -> int:
    """About how many bytes a phase needs for its snapshot, of which a moment long there are two: each has weights, the
    two moments of Adam, and perhaps an average."""
    return 2 * 4 * sum(param.array.nbytes for param in net.params())


def _train(phase, net, splits, transform, settings, out, augment, resume, show_progress, workers):
    _check_kinds(net, splits, settings, augment, workers)
    workers, path = workers or Workers(), snapshot_path(out, phase)
    net.initialise(transformed(transform, splits.train.images[:1], TrainingError).shape[1:])
    for part in ("train", "validation"):
        _check_labels(part, getattr(splits, part).labels, net.n_classes)
    workers.send_first_weights(net)
    loss = JointLoss.of(net, settings) if phase == "joint" else PlainLoss(net)
    start = None if phase == "plain" else net.plain()
    description = describe_phase(phase, net, splits.train, transform, settings, augment, start)
    batches = ShuffledBatches(splits.train, settings.batch_size, transform, settings.seed, augment, workers)
    n_iterations = settings.epochs * batches.batches_per_epoch
    updater = JointUpdater(batches, loss, settings, n_iterations, net.device, workers)
    validate = validation(loss, splits.validation, transform, net.device, workers)
    stop = StopRequest()
    trainer, log = _make_trainer(phase, updater, validate, stop, out, show_progress)

    piece = 1  # of a phase that was stopped and resumed; each epoch of the log has its own

    def save(trainer):
        if log.log:
            log.log[-1].setdefault("piece", piece)
        if workers.is_first:
            serialization.save_snapshot(trainer, path, {**description, "piece": piece})
            write_log()

    def write_log():
        with replacing(path.with_name(f"{phase}.log.json"), "w") as handle:
            json.dump(log.log, handle, indent=4)

    trainer.extend(save, "snapshot", trigger=(1, "epoch"), priority=-100)
    with locked(out) if workers.is_first else contextlib.nullcontext(), stop.listening():
        if workers.is_first:
            _check_size(snapshot_bytes(net) // 2)
            check_space(out, snapshot_bytes(net))
        if resume and path.exists():
            piece = check_same_phase(path, description, net).get("piece", 1) + 1
            serialization.load_snapshot(trainer, path)
            if workers.is_first:
                write_log()  # a kill may have come between the last snapshot and its log
        trainer.run(show_loop_exception_msg=False)
        if updater.iteration < n_iterations:
            save(trainer)
        if workers.any(stop.requested):  # in the last step or validation, too
            raise KeyboardInterrupt
    if updater.average is not None:
        updater.average.exchange()
    return [_history_entry(phase, entry) for entry in log.log]


def _make_trainer(phase, updater, validate, stop, out, show_progress):
    """A Trainer that validates, keeps a log and shows progress; and the log, which it does not write."""
    workers, n_iterations = updater.workers, updater.n_iterations
    log = chainer_extensions.LogReport(log_name=None)
    progress = Progress(phase, log, updater.settings.epochs, n_iterations, show_progress and workers.is_first)
    trainer = chainer.training.Trainer(
        updater,
        # All workers stop after the same step, whichever was asked to.
        stop_trigger=lambda trainer: workers.any(stop.requested) or updater.iteration >= n_iterations,
        out=str(out),
    )
    trainer.extend(validate, "validation", trigger=(1, "epoch"), priority=chainer.training.PRIORITY_WRITER)
    trainer.extend(log, "log")
    trainer.extend(progress, "progress")
    return trainer, log


def _check_kinds(net, splits, settings, augment, workers):
    """Raises TrainingError where an argument is of another kind than `train_plain` says."""
    kinds = {
        "net": (net, BranchyNet),
        "splits": (splits, Splits),
        "settings": (settings, TrainingSettings),
        "workers": (workers, (Workers, type(None))),
    }
    for name, (value, kind) in kinds.items():
        if not isinstance(value, kind):
            expected = getattr(kind, "__name__", "Workers or None")
            raise TrainingError(f"{name}: expected {expected}, got {shown(value)}")
    if not callable(augment) and augment is not None:
        raise TrainingError(f"augment: expected a function of images, got {shown(augment)}")


def _check_size(n_bytes):
    if n_bytes > MOST_BYTES:
        raise TrainingError(f"net: expected snapshots of at most {MOST_BYTES:,} bytes, got a net with {n_bytes:,}")


def _check_labels(part, labels, n_classes):
    if not len(labels) or labels.min() < 0 or labels.max() >= n_classes:
        found = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise TrainingError(f"labels ({part}): expected at least one, in 0 to {n_classes - 1}, got {found}")


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
        "piece": entry.get("piece", 1),
        "exits": exits,
    }

"""Snapshots of a training: the whole state of a Trainer and the description of its run, in one file."""

import contextlib
import json

import numpy as np

from branchynet.errors import SnapshotError
from branchynet.machine.files import replacing
from branchynet.machine.reading import BadFile, read_npz
from branchynet.serialization.arrays import arrays_of, read_into

_DESCRIPTION = "description.json"


def save_snapshot(trainer, path, description) -> None:
    """Writes the whole state of a Chainer Trainer and the description of its run into one file.

    Args:
        trainer: a `chainer.training.Trainer`.
        path: ends in .npz.
        description: JSON-able; `load_snapshot` gives it back.

    Raises:
        OutputError: the file cannot be written; an older snapshot stays as it was.
    """
    with replacing(path) as handle:
        np.savez(handle, **arrays_of(trainer), **{_DESCRIPTION: np.array(json.dumps(description))})


def read_snapshot_description(path) -> dict:
    """The description that a snapshot was saved with.

    Raises:
        SnapshotError: there is no readable snapshot at that path.
    """
    return _read(path)[0]


def load_snapshot(trainer, path) -> None:
    """Puts a Trainer, its models and its optimizers into the state that `save_snapshot` saved.

    Raises:
        SnapshotError: the snapshot is damaged or belongs to another network; the models stay as they were.
    """
    arrays = _read(path)[1]
    with _restored_on_error([optimizer.target for optimizer in trainer.updater.get_all_optimizers().values()]):
        read_into(path, arrays, trainer)


def _read(path):
    """(description, arrays) of a snapshot."""
    try:
        arrays = read_npz(path)
    except BadFile as error:
        raise SnapshotError(str(error)) from error
    if _DESCRIPTION not in arrays:
        raise SnapshotError(f"{path}: expected a snapshot of a training run, got another .npz file")
    try:
        description = json.loads(str(arrays.pop(_DESCRIPTION)))
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path}: expected a description as JSON, got a damaged one: {error}") from error
    if not isinstance(description, dict):
        raise SnapshotError(f"{path}: expected a description by name, got {type(description).__name__}")
    return description, arrays


@contextlib.contextmanager
def _restored_on_error(links):
    """Gives links their arrays back if the block ends with an error."""
    saved = [(link, {name: np.array(array) for name, array in arrays_of(link).items()}) for link in links]
    try:
        yield
    except SnapshotError:
        for link, arrays in saved:
            read_into("memory", arrays, link)
        raise

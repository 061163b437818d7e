"""Snapshots of a training: the whole state of a Trainer and the description of its run, in one file."""

from __future__ import annotations

import json

import numpy as np

from branchynet.errors import SnapshotError
from branchynet.serialization.arrays import open_arrays, read_arrays, write_arrays

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
    write_arrays(path, trainer, {_DESCRIPTION: np.array(json.dumps(description))})


def read_snapshot_description(path) -> dict:
    """The description that a snapshot was saved with.

    Raises:
        SnapshotError: there is no readable snapshot at that path.
    """
    with open_arrays(path) as arrays:
        if _DESCRIPTION not in arrays:
            raise SnapshotError(f"{path}: expected a snapshot of a training run, got another .npz file")
        return json.loads(str(arrays[_DESCRIPTION]))


def load_snapshot(trainer, path) -> None:
    """Puts a Trainer, its models and its optimizers into the state that `save_snapshot` saved.

    Raises:
        SnapshotError: the snapshot is damaged or belongs to another network.
    """
    read_arrays(path, trainer)

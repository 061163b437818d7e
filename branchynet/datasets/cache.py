"""The cache: one `.npz` of raw arrays for each data set, written in one step, checked each time it is read.

A reader either sees a whole file or none: the file is written beside its place and moved there. Two processes that need
the same data set at once are kept apart by a lock that the operating system drops when its holder ends, however it
ends; the second one finds the file of the first.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from branchynet.datasets import formats
from branchynet.datasets.specs import DatasetSpec
from branchynet.datasets.verify import ARRAY_NAMES, Arrays, verify
from branchynet.errors import DataError

ENVIRONMENT_VARIABLE = "BRANCHYNET_DATA"
_PATIENCE_S = 2


def chosen_folder(data_dir: str | os.PathLike | None = None) -> Path | None:
    """The folder that the user named, as argument or in the environment variable BRANCHYNET_DATA; None if none."""
    named = data_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named).expanduser().absolute() if named else None


def default_folder() -> Path:
    """The folder used if none is named: $XDG_CACHE_HOME/branchynet, else ~/.cache/branchynet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is invalid and to be ignored.
    root = Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()
    return root / "branchynet"


def cache_file(spec: DatasetSpec, folder: Path) -> Path:
    """Path of a data set's file in a cache folder. No other library uses such a name: the file is ours to replace."""
    return folder / f"branchynet-{spec.name}.npz"


def read(spec: DatasetSpec, folder: Path) -> tuple[Arrays, str] | None:
    """Read and check a cached data set.

    Returns:
        The four arrays and the title of the source they were fetched from; None if nothing is cached.

    Raises:
        DataError: The file is cut short, altered, or unreadable.
    """
    path = cache_file(spec, folder)
    if not os.path.isfile(path):
        return None
    try:
        stored = formats.read_npz(path, (*ARRAY_NAMES, "source"))
    except (DataError, *formats.READ_ERRORS) as error:
        raise DataError(f"{path}: cannot be read: {str(error) or type(error).__name__}") from error
    source = str(stored.pop("source"))
    verify(spec, stored, str(path))
    return stored, source


def write(spec: DatasetSpec, folder: Path, arrays: Arrays, source: str) -> None:
    """Store a data set's arrays and the title of their source. Call it with the folder locked.

    Raises:
        OSError: The file cannot be written; what was there before is still there.
    """
    new_file = workshop(spec, folder) / "arrays.npz"
    np.savez(new_file, source=np.array(source), **arrays)
    os.replace(new_file, cache_file(spec, folder))


def workshop(spec: DatasetSpec, folder: Path) -> Path:
    """Folder in which a data set is put together; it is there only while the lock is held."""
    return folder / f".branchynet-{spec.name}.tmp"


@contextmanager
def locked(spec: DatasetSpec, folder: Path) -> Iterator[None]:
    """Hold a data set's lock, with an empty workshop. What a killed process left in the workshop is removed.

    Raises:
        DataError: The folder cannot be made or written to.
    """
    lock = FileLock(folder / f".branchynet-{spec.name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, spec)
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{folder}: cannot be written to, so {spec.name} cannot be fetched into it: {error}; "
            f"name another folder with --data-dir or {ENVIRONMENT_VARIABLE}"
        ) from error
    try:
        _remove_workshop(spec, folder)
        try:
            workshop(spec, folder).mkdir()
        except OSError as error:
            raise DataError(f"{folder}: cannot be written to: {error}") from error
        yield
    finally:
        _remove_workshop(spec, folder)
        lock.release()


def _acquire(lock: FileLock, spec: DatasetSpec) -> None:
    try:
        lock.acquire(timeout=_PATIENCE_S)
    except Timeout:
        print(f"{spec.name}: waiting for another process that is fetching it", file=sys.stderr)
        lock.acquire()


def _remove_workshop(spec: DatasetSpec, folder: Path) -> None:
    shutil.rmtree(workshop(spec, folder), ignore_errors=True)

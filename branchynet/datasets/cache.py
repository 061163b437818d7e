"""The cache: one `.npz` of raw arrays for each data set, written in one step, verified each time it is read.

A reader sees a whole file or none: the file is written beside its place and moved there. Two processes that need the
same data set at once are kept apart by a lock that the operating system drops when its holder ends, however it ends;
the second one finds the file of the first.
"""

import contextlib
import os
import shutil

import numpy as np
from filelock import FileLock, Timeout

from branchynet.datasets import formats
from branchynet.errors import DataError
from branchynet.gate import path as as_path
from branchynet.gate import shown
from branchynet.machine import terminal
from branchynet.machine.files import cache_folder

ENVIRONMENT_VARIABLE = "BRANCHYNET_DATA"
# How a user names a folder, for messages.
BY_OPTION = f"with --data-dir or {ENVIRONMENT_VARIABLE}"
_PATIENCE_S = 2


def folder_for(data_dir=None):
    """The folder in which data sets lie (see `branchynet.datasets.load`), and whether the user named it.

    Raises:
        DataError: there cannot be such a folder.
    """
    if not isinstance(data_dir, (str, os.PathLike, type(None))):
        raise DataError(f"folder of data: expected a path, got {shown(data_dir)}")
    named = data_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    path = named or cache_folder()
    try:
        folder = as_path(path, DataError, "a folder for data").expanduser().absolute()
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: expected a folder, got a file")
    except (OSError, RuntimeError) as error:  # a name too long, a folder that must not be entered; ~ of no user
        raise DataError(f"{path}: cannot be used as a folder for data: {error}") from error
    return folder, bool(named)


def cache_file(spec, folder):
    """Path of a data set's file in a cache folder. No other library uses such a name: the file is ours to replace."""
    return folder / f"branchynet-{spec.name}.npz"


def workshop(spec, folder):
    """Folder in which a data set is put together; it is there only while the lock is held."""
    return folder / f".branchynet-{spec.name}.tmp"


def read(spec, folder):
    """Reads and verifies a cached data set.

    Returns:
        {array name: array}, and where they came from, for messages; None if nothing is cached.

    Raises:
        DataError: the file is cut short, altered, or unreadable.
    """
    path = cache_file(spec, folder)
    if not os.path.isfile(path):
        return None
    arrays = formats.read_npz(path, {**spec.shapes, "source": ()})
    source = arrays.pop("source")
    spec.verify(arrays, path)
    return arrays, f"cache {path} (from {source})"


def write(spec, folder, arrays, source) -> None:
    """Stores a data set's arrays and the title of their source. Call it with the folder locked.

    Raises:
        OSError: the file cannot be written; what was there before is still there.
    """
    new_file = workshop(spec, folder) / "arrays.npz"
    np.savez(new_file, source=np.array(source), **arrays)
    os.replace(new_file, cache_file(spec, folder))


def tidy(spec, folder) -> None:
    """Removes the workshop of a process that was killed when the data set was cached already."""
    if workshop(spec, folder).exists():
        with contextlib.suppress(Timeout, OSError, NotImplementedError), FileLock(_lock_file(spec, folder), timeout=0):
            shutil.rmtree(workshop(spec, folder), ignore_errors=True)


def _lock_file(spec, folder):
    return folder / f".branchynet-{spec.name}.lock"


@contextlib.contextmanager
def locked(spec, folder):
    """Holds a data set's lock, with an empty workshop. What a killed process left in the workshop is removed.

    Raises:
        DataError: the folder cannot be made or written to.
    """
    path = _lock_file(spec, folder)
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.touch()  # where no file can be made, in /proc for instance, FileLock would try for ever
            stack.enter_context(_acquire(FileLock(path), spec))
            shutil.rmtree(workshop(spec, folder), ignore_errors=True)
            workshop(spec, folder).mkdir()
        except (OSError, NotImplementedError) as error:
            raise DataError(
                f"{folder}: cannot be written to, so {spec.name} cannot be fetched into it: {error}; "
                f"name another folder {BY_OPTION}"
            ) from error
        stack.callback(shutil.rmtree, workshop(spec, folder), ignore_errors=True)
        yield


def _acquire(lock, spec):
    try:
        return lock.acquire(timeout=_PATIENCE_S)
    except Timeout:
        terminal.say(f"{spec.name}: waiting for another process that is fetching it")
        return lock.acquire()

"""Writing files so that a killed run never leaves half of one, and the old one survives a failure; the cache folder."""

import contextlib
import glob
import os
import pathlib
import shutil
import tempfile
import time

from filelock import FileLock, Timeout

from branchynet.errors import OutputError
from branchynet.gate import path as as_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# A writer holds the system's lock on its temporary file, so a file that nobody holds was left behind by a killed run;
# but one this young may have been made this moment. Where there are no such locks: no file takes a day to write.
_LEFT_BEHIND_S = 5 if fcntl else 24 * 3600
_SUFFIX = ".tmp"


@contextlib.contextmanager
def replacing(path, mode="wb", **open_options):
    """Opens a temporary file beside `path`, which takes the place of `path` when the block ends without an error.

    After a power cut, too, there is either the old file or the whole new one. Temporary files of that name that killed
    runs left behind are removed.

    Args:
        path: the file to write; its folder exists.
        mode, **open_options: as of `open`.

    Raises:
        OutputError: the file cannot be written (no such folder, no permission, disk full); what was there stays.
    """
    path = pathlib.Path(path)
    temporary = None
    _remove_left_behind(path)
    try:
        descriptor, temporary = tempfile.mkstemp(_SUFFIX, f".{path.name}.", path.parent)
        _hold(descriptor)
        with os.fdopen(descriptor, mode, **open_options) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            remove(temporary)
    write_through(path.parent)


@contextlib.contextmanager
def locked(folder, what=""):
    """Keeps other runs out of a folder while the block runs; the folder is made if it is not there.

    The lock is the operating system's: it ends with the process that holds it, however that ends.

    Args:
        folder: whose writers all call this.
        what: names one of several locks of a folder: a whole run has another than a training step within it.

    Raises:
        OutputError: another run holds the lock, or the folder cannot be made or written to.
    """
    lock = _acquired(as_path(folder, OutputError, "the name of a folder to write into"), what)
    try:
        yield
    finally:
        remove(lock.lock_file)  # while it is held: whoever comes next makes a new one
        lock.release()


def _acquired(folder, what):
    lock = FileLock(folder / f".{what}.lock" if what else folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"{folder}: expected a folder that no other run writes into, got one that is in use"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise OutputError(f"cannot write into {folder}: {error}") from error
    return lock


def check_space(folder, n_bytes) -> None:
    """Finds out before hours of training, not after, whether a disk holds what they are to leave.

    Args:
        folder: is there.
        n_bytes: an estimate.

    Raises:
        OutputError: so many bytes are not free.
    """
    n_free = shutil.disk_usage(folder).free
    if n_free < n_bytes:
        raise OutputError(f"{folder}: expected {n_bytes / 1e6:,.0f} MB of free space, got {n_free / 1e6:,.0f} MB")


def _remove_left_behind(path):
    # mkstemp's own part of the name has eight characters.
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND_S:
                with open(left, "rb") as handle:
                    if _hold(handle.fileno()):
                        left.unlink()


def _hold(descriptor):
    """Takes the lock on an open file, until it is closed; whether nobody else had it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks; then the age alone must do
        return os.fstat(descriptor).st_mtime < time.time() - 24 * 3600
    return True


def write_through(folder) -> None:
    """Has the system write the names in a folder to the disk, where it lets a folder be opened for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path) -> None:
    """Removes a file, if it is there and can be removed."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def cache_folder() -> str:
    """Where the library keeps what can be had again: $XDG_CACHE_HOME/branchynet, else ~/.cache/branchynet, as text."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is invalid and to be ignored.
    return os.path.join(base if os.path.isabs(base) else "~/.cache", "branchynet")

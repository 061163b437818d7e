"""Reading files that somebody else may have made: regular files only, of a bounded size, and nothing in them is run.

What is wrong is a `BadFile`, whose message says what was expected and what came; a caller makes it an error of its own.
"""

import io
import json
import math
import os
import stat
import zipfile

import numpy as np

# More than the snapshot of a VGG-16; a training that would write larger ones does not begin.
MOST_BYTES = 4 << 30
# Records and descriptions are text that people read.
MOST_JSON_BYTES = 64 << 20
_MOST_ARRAYS = 50_000
_CONTAINERS = (dict, list)
_MOST_NESTED = 100


class BadFile(Exception):
    """A file that is not there, or not what it should be."""


def read_bytes(path, most_bytes=MOST_BYTES) -> bytes:
    """The content of a regular file. A pipe or a device may have no end, and is refused before it is read.

    Raises:
        BadFile: there is no such file, it is no regular one, it is larger, or it cannot be read.
    """
    try:
        # Opening a pipe waits for a writer, unless it is opened so.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as handle:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BadFile(f"{path}: expected a regular file, got a folder, a pipe or a device")
            if status.st_size > most_bytes:
                raise BadFile(f"{path}: expected at most {most_bytes:,} bytes, got {status.st_size:,}")
            return handle.read(status.st_size)
    except (OSError, ValueError, TypeError) as error:  # ValueError: a name with a null character
        raise BadFile(f"{path}: expected a readable file: {getattr(error, 'strerror', None) or error}") from error


def read_json(path):
    """The value in a JSON file in UTF-8; NaN and infinity, which are not JSON, are refused.

    Raises:
        BadFile: as of `read_bytes`; or the file is not JSON, or nested too deeply.
    """
    content = read_bytes(path, MOST_JSON_BYTES)
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse)
        _check_nesting(value)
        return value
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise BadFile(f"{path}: expected JSON, got a damaged file: {error}") from error


def _refuse(constant):
    raise ValueError(f"expected finite numbers, got {constant}")


def _check_nesting(value):
    """Raises ValueError unless every function that walks the value by recursion comes to an end."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _MOST_NESTED:
            raise ValueError(f"expected at most {_MOST_NESTED} levels of nesting, got more")
        below = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, _CONTAINERS))
        level = [item for items in below for item in items if isinstance(item, _CONTAINERS)]


def read_npz(path, content=None) -> dict:
    """The arrays of an `.npz` file as `numpy.savez` writes it: not compressed, no pickled objects.

    Each array's header must claim just the bytes that are there, so nothing is allocated that the file does not hold.

    Args:
        path: of the file, for messages too.
        content: of the file, where it was read already.

    Returns:
        {name: array}

    Raises:
        BadFile: as of `read_bytes`; or the file is damaged, or not of that kind.
    """
    content = read_bytes(path) if content is None else content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members, len(content))
            return {member.filename[: -len(".npy")]: _array_of(archive.read(member)) for member in members}
    except Exception as error:
        # Of any kind: the header of an array is an expression of Python, whose parser may even run out of memory.
        # NumPy's own messages propose to unpickle, and zipfile's to give a password.
        reason = str(error) if isinstance(error, _Refused) else "got a damaged one or another kind"
        raise BadFile(f"{path}: expected a readable .npz file, {reason}") from error


class _Refused(ValueError):
    """An archive, or an array in it, that is refused; says why."""


def _check_members(members, n_bytes):
    names = {member.filename for member in members}
    if len(members) > _MOST_ARRAYS or len(names) < len(members):
        raise _Refused(f"got {len(members):,} arrays of {len(names):,} names")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or not member.filename.endswith(".npy"):
            raise _Refused(f"got {member.filename[:80]!r}, which is compressed, encrypted or no array")
        # NumPy writes no comments; one that damage makes would swallow the entries of the arrays that follow.
        if member.comment:
            raise _Refused(f"got {member.filename[:80]!r} with a comment")
    if sum(member.file_size for member in members) > n_bytes:
        raise _Refused(f"got arrays that claim more than the {n_bytes:,} bytes of the file")


def _array_of(data):
    """The array in the content of an `.npy` file."""
    handle = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(handle)
    if version not in readers:
        raise _Refused(f"got an array of version {version}")
    shape, is_fortran, dtype = readers[version](handle)
    if dtype.hasobject:
        raise _Refused("got a pickled object")
    if dtype.itemsize == 0:  # any number of them is in no byte, and NumPy makes texts of one character of them
        raise _Refused("got an array whose numbers take no room")
    n_claimed, n_there = math.prod(shape) * dtype.itemsize, len(data) - handle.tell()
    if n_claimed != n_there or min(shape, default=0) < 0:
        raise _Refused(f"got an array of {n_there:,} bytes that claims to have {n_claimed:,}")
    flat = np.frombuffer(data, dtype, offset=handle.tell()) if n_there else np.empty(math.prod(shape), dtype)
    return np.array(flat.reshape(shape, order="F" if is_fortran else "C"))

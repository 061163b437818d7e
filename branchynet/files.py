"""Writing files so that a killed run never leaves half of one, and the old one survives a failure."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile

from branchynet.errors import OutputError


@contextlib.contextmanager
def replacing(path, mode="wb", **open_options):
    """Opens a temporary file beside `path`, which takes the place of `path` when the block ends without an error.

    Args:
        path: the file to write; its folder exists.
        mode, **open_options: as of `open`.

    Raises:
        OutputError: the file cannot be written (no such folder, no permission, disk full); what was there stays.
    """
    path = pathlib.Path(path)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
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
            with contextlib.suppress(OSError):
                os.unlink(temporary)

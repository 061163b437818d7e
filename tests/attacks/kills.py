"""Ends a piece of code at its n-th operation on files, as a kill does: nothing after that operation is done."""

import contextlib
import os
import tempfile


class Killed(BaseException):
    """Stands for the end of the process."""


_OPERATIONS = ("open", "write", "fsync", "replace", "rename", "unlink", "remove", "mkdir", "chmod")


@contextlib.contextmanager
def killed_at(monkeypatch, n_operations, before=False):
    """Raises `Killed` at the n-th operation, and at all that come after: a dead process cleans up nothing.

    Args:
        monkeypatch: of pytest.
        n_operations: 1 for the first; None never ends it.
        before: the operation itself is not done; else it is the last that is.

    Yields:
        a list that gets the name of every operation.
    """
    done = []

    def counting(name, operation):
        def operate(*arguments, **options):
            done.append(name)
            is_due = n_operations is not None and len(done) >= n_operations
            if is_due and (before or len(done) > n_operations):
                raise Killed(name)
            result = operation(*arguments, **options)
            if is_due:
                raise Killed(name)
            return result

        return operate

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # what it is for, a power cut, is not what is tried here
        for name in _OPERATIONS:
            patch.setattr(os, name, counting(name, getattr(os, name)))
        patch.setattr(tempfile, "mkstemp", counting("mkstemp", tempfile.mkstemp))
        patch.setattr(os, "fdopen", _with_counted_writes(os.fdopen, counting))
        yield done


def _with_counted_writes(fdopen, counting):
    def opened(*arguments, **options):
        handle = fdopen(*arguments, **options)
        return _Handle(handle, counting)

    return opened


class _Handle:
    """A file whose writes are counted, and which is closed whatever happens: a system closes a dead process's files."""

    def __init__(self, handle, counting):
        self._handle, self.write = handle, counting("write", handle.write)

    def __getattr__(self, name):
        return getattr(self._handle, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            self._handle.close()

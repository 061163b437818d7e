"""Ends a piece of code after n operations on files, as a kill does: nothing after them is done."""

import contextlib
import gc
import io
import json
import os
import pathlib
import signal
import sys
import tempfile

import branchynet  # noqa: F401  (first: it makes Chainer importable)

# isort: split
import numpy as np
import pytest
from tiny import as_float, tiny_net
from training.runs import assert_same_run, both, trained
from training.train_tiny import train
from two_workers import run_two

from branchynet import load_weights, records, save_weights
from branchynet.functions.kernels import computes_here
from branchynet.machine.devices import get_device
from branchynet.machine.workers import get_workers


class Killed(BaseException):
    """Stands for the end of the process."""


_OPERATIONS = ("open", "write", "fsync", "replace", "rename", "unlink", "remove", "mkdir", "chmod")


@contextlib.contextmanager
def killed_after(n_operations, end=None):
    """Lets n operations be done, and raises `Killed` at all that come after: a dead process cleans up nothing.

    Args:
        n_operations: 0 ends it before the first; None never.
        end: called in place of that, where the process is really to end.

    Yields:
        a list that gets the name of every operation.
    """
    done = []

    def counting(name, operation):
        def operate(*arguments, **options):
            if n_operations is not None and len(done) >= n_operations:
                if end is not None:
                    end()
                raise Killed(name)
            done.append(name)
            return operation(*arguments, **options)

        return operate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # what it is for, a power cut, is not what is tried here
        for name in _OPERATIONS:
            patch.setattr(os, name, counting(name, getattr(os, name)))
        patch.setattr(tempfile, "mkstemp", counting("mkstemp", tempfile.mkstemp))
        patch.setattr(os, "fdopen", _with_counted_writes(os.fdopen, counting))
        yield done


def _with_counted_writes(fdopen, counting):
    def opened(descriptor, mode="r", **options):
        if "w" not in mode:
            return fdopen(descriptor, mode, **options)
        buffered = io.BufferedWriter(_CountedFile(descriptor, counting))
        return buffered if "b" in mode else io.TextIOWrapper(buffered, **options)

    return opened


class _CountedFile(io.FileIO):
    """A file whose writes, those that come to the system, are counted."""

    def __init__(self, descriptor, counting):
        super().__init__(descriptor, "w")
        self._counted = counting("write", super().write)

    def write(self, content):
        return self._counted(content)


def whole_training(folder):
    """A training of both steps that nothing ends, and the names of its operations on files."""
    computes_here(np.zeros(1, np.float32))  # the first call reads or writes the compiled kernels
    with killed_after(None) as done:
        whole = trained(both, folder)
    return whole, done


def check_resumption(folder, number, whole):
    """Ends a training after so many operations on files, resumes it, and compares the outcome with the whole one."""
    with pytest.raises(Killed), killed_after(number):
        trained(both, folder)
    gc.collect()  # a dead process holds no lock: here that of the exception's frames
    resumed = trained(both, folder, resume=True)
    assert_same_run(resumed, whole)
    assert [entry["epoch"] for entry in logs(folder)] == [entry["epoch"] for entry in resumed[1]]


def logs(folder):
    """The entries of both phases' log files, without times and pieces."""
    paths = [folder / f"{phase}.log.json" for phase in ("plain", "joint")]
    entries = [entry for path in paths for entry in records.read_json(path)]
    return [{**entry, "elapsed_time": None, "piece": None} for entry in entries]


def trained_by_two(out, number=None):
    """What two workers leave in a folder: arrays and logs; or None, if the first was killed after some operations."""
    ended = run_two("-m", "attacks.kills", out, *[] if number is None else [number])
    if number is not None:
        assert ended.returncode != 0, "it was to be killed"
        return None
    assert ended.returncode == 0, ended.stderr
    weights = tiny_net(seed=9)
    load_weights(weights, out / "weights")
    return weights, logs(out)


def whole_training_by_two(folder):
    """As `whole_training`, of two workers."""
    return trained_by_two(folder), json.loads((folder / "operations.json").read_text())


def check_resumption_by_two(folder, number, whole):
    """As `check_resumption`, of two workers, the first of which is really killed."""
    trained_by_two(folder, number)
    assert_same_run(trained_by_two(folder), whole)


def main(out, number=None):
    """One of the two workers: trains, or goes on; the first kills itself after some operations, if told how many."""
    workers = get_workers()
    get_device("cpu").use()
    number = int(number) if number is not None and workers.is_first else None
    with killed_after(number, lambda: os.kill(os.getpid(), signal.SIGKILL)) as done:
        net = train(out, get_device("cpu"), workers, as_float, resume=True)
    if workers.is_first:
        save_weights(net, f"{out}/weights", {})
        pathlib.Path(out, "operations.json").write_text(json.dumps(done))
    workers.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

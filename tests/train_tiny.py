"""Trains a tiny network and leaves its log and weights in a folder: what `test_processes.py` starts with mpiexec."""

import contextlib
import itertools
import os
import signal
import sys

import branchynet  # noqa: F401  (first: it makes Chainer importable)

# isort: split
from tiny import as_float, tiny_data, tiny_net

from branchynet import serialization
from branchynet.processes import get_processes
from branchynet.training import TrainingSettings, train_joint, train_main

# The last batch of a pass has one sample: not every process has a share in it.
N_SAMPLES = 17
SETTINGS = TrainingSettings(epochs=2, batch_size=8, alpha=1e-2)


def main(out, n_batches=None):
    """Both training steps; the first process writes. With `n_batches`, it stops after so many, and goes on."""
    processes = get_processes()
    if n_batches is not None:
        with contextlib.suppress(KeyboardInterrupt):
            train(out, processes, interrupting(int(n_batches)) if processes.is_first else as_float)
            print("was not stopped", file=sys.stderr)
    net = train(out, processes, as_float, resume=n_batches is not None)
    if processes.is_first:
        serialization.save_weights(net, f"{out}/weights", {"processes": processes.size})
    processes.wait()


def train(out, processes, prepare, resume=False):
    """The trained net of this process."""
    # Each process draws other weights: all are to train those of the first.
    net = tiny_net(seed=processes.rank)
    data = tiny_data(n=N_SAMPLES, n_validation=5, prepare=prepare)
    for step in (train_main, train_joint):
        step(net, data, SETTINGS, out, resume=resume, show_progress=False, processes=processes)
    return net


def interrupting(n_batches):
    """What prepares images, and asks for a stop when so many batches have been prepared."""
    calls = itertools.count(1)

    def prepare(images):
        if next(calls) == n_batches:
            os.kill(os.getpid(), signal.SIGINT)
        return as_float(images)

    return prepare


if __name__ == "__main__":
    main(*sys.argv[1:])

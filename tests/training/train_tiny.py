"""Trains a tiny network and leaves log and weights in a folder: what `test_several_workers.py` starts with mpiexec."""

import contextlib
import os
import signal
import sys

import branchynet  # noqa: F401  (first: it makes Chainer importable)

# isort: split
from tiny import as_float, tiny_net, tiny_splits

from branchynet import serialization
from branchynet.machine.devices import get_device, is_gpu
from branchynet.machine.workers import get_workers
from branchynet.training import TrainingSettings

from .runs import acting_at, both

# The last batch of a pass has one sample: not every worker has a row of it.
SPLITS = tiny_splits(n=17, n_validation=5)
SETTINGS = TrainingSettings(epochs=2, batch_size=8, alpha=1e-2)


def main(out, device, n_batches=None):
    """Both training steps; the first worker writes. With `n_batches`, it stops after so many, and goes on."""
    workers = get_workers(on_gpu=is_gpu(device))
    device = get_device(device, default_gpu=workers.rank_on_this_machine)
    device.use()
    if n_batches is not None:
        stop = acting_at(int(n_batches), lambda: os.kill(os.getpid(), signal.SIGINT))
        with contextlib.suppress(KeyboardInterrupt):
            train(out, device, workers, stop if workers.is_first else as_float)
            print("was not stopped", file=sys.stderr)
    net = train(out, device, workers, as_float, resume=n_batches is not None)
    if workers.is_first:
        serialization.save_weights(net, f"{out}/weights", {"workers": workers.size})
    workers.wait()


def train(out, device, workers, transform, resume=False):
    """The trained net of this worker."""
    # Each worker draws other weights: all are to train those of the first.
    net = tiny_net(seed=workers.rank)
    net.to_device(device)
    both(net, out, settings=SETTINGS, splits=SPLITS, transform=transform, resume=resume, workers=workers)
    return net


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Trains a tiny network and leaves its log and weights in a folder: what `test_processes.py` starts with mpiexec."""

import sys

import branchynet  # noqa: F401  (first: it makes Chainer importable)

# isort: split
from tiny import tiny_data, tiny_net

from branchynet import serialization
from branchynet.processes import get_processes
from branchynet.training import TrainingSettings, train_joint, train_main

# The last batch of a pass has one sample: not every process has a share in it.
N_SAMPLES = 17
SETTINGS = TrainingSettings(epochs=2, batch_size=8, alpha=1e-2)


def main(out):
    """Both training steps; the first process writes."""
    processes = get_processes()
    # Each process draws other weights: all are to train those of the first.
    net = tiny_net(seed=processes.rank)
    data = tiny_data(n=N_SAMPLES, n_validation=5)
    train_main(net, data, SETTINGS, out, show_progress=False, processes=processes)
    train_joint(net, data, SETTINGS, out, show_progress=False, processes=processes)
    if processes.is_first:
        serialization.save_weights(net, f"{out}/weights", {"processes": processes.size})
    processes.wait()


if __name__ == "__main__":
    main(sys.argv[1])

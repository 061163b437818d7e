"""An experiment on a tiny network and data set, and a finished run of it, which many tests share."""

import dataclasses
import pathlib

import pytest
from tiny import tiny_list, tiny_samples

from branchynet import datasets
from branchynet.datasets import Dataset
from branchynet.experiment import Experiment, Preset
from branchynet.experiment import main as run_main
from branchynet.training import TrainingSettings
from networks import Network

ROOT = pathlib.Path(__file__).resolve().parents[1]
SETTINGS = TrainingSettings(epochs=1, batch_size=32, alpha=1e-2)
NETWORK = Network("tiny", "Tiny", tiny_list, "mnist", "normalise", (0.1, 0.8, 1.0, 1.2))
LENET = dataclasses.replace(NETWORK, title="LeNet", build=lambda: [*tiny_list()[:2], *tiny_list()[3:]])
EXPERIMENT = Experiment(
    script=ROOT / "experiments" / "tiny.py",
    title="Tiny",
    network=lambda options: NETWORK,
    datasets=("mnist", "fashion-mnist"),
    presets={"standard": Preset(SETTINGS, SETTINGS, "1 + 1 epochs")},
)
QUICKLY = ["--budget", "0.1", "--processes-timed", "1"]
RESULTS = {
    "run.json", "sweep.csv", "table.md", "exit_records.npz", "exit_records.json", "report.html",
    "timings.npz",
    "tradeoff.png", "tradeoff.pdf", "training.png", "exits.png", "exit_share.png",
    "plain.log.json", "joint.log.json", "plain.snapshot.npz", "joint.snapshot.npz",
    "longer.log.json", "longer.snapshot.npz",
    "plain.npz", "plain.json", "weights.npz", "weights.json", "longer.npz", "longer.json",
}  # fmt: skip
N_TEST = 24
_DRAWN = {"tradeoff": ("tradeoff.png", "tradeoff.pdf")}
_DRAWN |= {name: (f"{name}.png",) for name in ("training", "exits", "exit_share")}


def main(experiment, argv):
    """The exit status, after little timing."""
    return run_main(experiment, [*argv, *QUICKLY])


def tiny_dataset(seed=0, n_test=N_TEST):
    """So many images that the last 5,000 of them can be validation images."""
    return Dataset("mnist", tuple("abc"), tiny_samples(5100, seed), tiny_samples(n_test, 1), "made by the test")


def in_a_tiny_world(patch, draws=False):
    """A tiny data set in place of the real ones. Figures and reports, which take longest, are empty files, unless a run
    `draws`."""
    dataset = tiny_dataset()
    patch.setattr(datasets, "load", lambda name, data_dir: dataset)
    if draws:
        return
    for name, files in _DRAWN.items():
        patch.setattr(f"branchynet.plots.{name}", lambda *given, files=files: [touch(given, file) for file in files])
    patch.setattr("branchynet.experiment.experiment.write_report", lambda path, *given: path.write_bytes(b""))


def touch(arguments, name):
    """Makes an empty file where a function of such arguments would write."""
    (next(value for value in arguments if isinstance(value, pathlib.Path)).parent / name).write_bytes(b"")


def finished_run(folder, seed=4, draws=False):
    """The folder of a run that has come to its end."""
    with pytest.MonkeyPatch.context() as patch:
        in_a_tiny_world(patch, draws)
        assert main(EXPERIMENT, ["--out", str(folder), "--seed", str(seed), "--quiet"]) == 0
    return folder

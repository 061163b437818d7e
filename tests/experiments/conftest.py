"""What the tests of the scripts share. Scripts import each other, and the study, from the folder that they lie in."""

import pathlib
import sys

import pytest
from tiny import tiny_list, tiny_net
from tiny_experiment import tiny_dataset

from branchynet import datasets, save_weights
from branchynet.experiment import Experiment, Preset
from branchynet.machine.workers import Workers
from branchynet.training import TrainingSettings
from networks import zoo

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "experiments"))


def pytest_terminal_summary(terminalreporter):
    """Prints what tests measured, of which they assert nothing: times, for instance."""
    for report in (report for found in terminalreporter.stats.values() for report in found):
        for name, value in report.user_properties if getattr(report, "when", "") == "call" else ():
            terminalreporter.write_line(f"{report.nodeid.rpartition('/')[2]}: {name}: {value}")


@pytest.fixture
def tiny_network(tmp_path, monkeypatch):
    """The one network of the zoo, "tiny", whose plain and joint weights are released in a folder of `tmp_path`.

    Every data set has 5,100 training and 70 test images. No seed that tests train with draws the weights.
    """
    dataset = tiny_dataset(n_test=70)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    network = zoo.Network("tiny", "Tiny", tiny_list, "mnist", "scale", (0.5, 1.05), paper_exit_shares=(0.5, 0.25))
    monkeypatch.setattr(zoo, "NETWORKS", {"tiny": network})
    monkeypatch.setattr(zoo, "RELEASED", tmp_path)
    network.folder.mkdir()
    for stem in ("plain", "weights"):
        save_weights(tiny_net(seed=5), network.folder / stem, transform=datasets.scale, class_names=("a", "b", "c"))
    return network


@pytest.fixture
def tiny_experiment():
    """How the tiny network is trained."""
    settings = TrainingSettings(epochs=9, batch_size=16, alpha=1e-2)
    return Experiment("tiny.py", "Tiny", None, ("mnist",), {"standard": Preset(settings, settings, "")})


@pytest.fixture
def forbid_training(monkeypatch):
    """(why) -> None: from now on a step of training fails the test."""
    step = "branchynet.training.updater.JointUpdater.update_core"
    return lambda why: monkeypatch.setattr(step, lambda *arguments, **settings: pytest.fail(why))


@pytest.fixture
def torch():
    """PyTorch, with the number of its threads put back."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed; in the project's folder: pip install -e '.[bench]'"
    )
    n_threads = torch.get_num_threads()
    yield torch
    torch.set_num_threads(n_threads)


@pytest.fixture
def first_of_two(monkeypatch):
    """Scripts run in the first of two workers, without the other; `aborted` holds the statuses that it ended with."""

    class FirstOfTwo(Workers):
        size, rank, on_this_machine, aborted = 2, 0, 2, []

        def __init__(self):
            pass

        def abort(self, status):
            self.aborted.append(status)

    monkeypatch.setattr("branchynet.machine.ending.get_workers", lambda on_gpu: FirstOfTwo())
    return FirstOfTwo

"""The whole of `experiments/compare_training.py`, on a tiny network and data set, from its command line."""

import pathlib
import sys

import numpy as np
import pytest
from test_experiment import EXPERIMENT, tiny_samples
from tiny import tiny_net

from branchynet import analysis, datasets, records
from branchynet.datasets import Dataset, Splits
from branchynet.inference import run
from branchynet.inference.plan import make_plan
from branchynet.training import run as training_run
from branchynet.training import weighting_names

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
import compare_training as script

WAYS = ["joint", "equal-weights", "heads-only", "last-only", *weighting_names()]


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """The script as a function of its options, with a tiny network and data set."""
    dataset = Dataset("mnist", tuple("abc"), tiny_samples(80, 0), tiny_samples(40, 1), "made by the test")
    monkeypatch.setattr(Dataset, "split", lambda self: Splits(self.train[:40], self.train[40:], self.test))
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    monkeypatch.setitem(script.NETWORKS, "lenet", EXPERIMENT)

    def compare(*argv, out="a"):
        status = script.main(["--out", str(tmp_path / out), *argv])
        return status, tmp_path / out

    return compare


@pytest.fixture
def fewer_ways(monkeypatch):
    """Without the weightings: four ways are enough to be killed in."""
    monkeypatch.setattr(script, "weighting_names", lambda: ())


@pytest.fixture
def trained_steps(monkeypatch):
    """The numbers of training steps that were made."""
    steps = []
    update = training_run.JointUpdater.update_core
    monkeypatch.setattr(training_run.JointUpdater, "update_core", lambda self: steps.append(1) or update(self))
    return steps


def test_all_ways_are_trained_from_one_main_network_and_tabulated(compare, capsys, trained_steps):
    status, out = compare("--seeds", "0", "1")
    assert status == 0
    result = records.read_json(out / "compare_training.json")
    assert [way["name"] for way in result["ways"]] == WAYS
    for way in result["ways"]:
        assert [run["seed"] for run in way["runs"]] == [0, 1]
        assert all(0 <= run["accuracy_pct"] <= 100 and len(run["exits_pct"]) == 3 for run in way["runs"])
    assert result["command"] == "experiments/compare_training.py --seeds 0 1"
    assert {"commit", "versions"} <= set(result["environment"])
    text = (out / "compare_training.md").read_text(encoding="utf-8")
    assert "±" in text and text.strip() in capsys.readouterr().out
    assert "joint training" in text and "Against separate training, the last exit" in text
    starts = {(out / "seed0" / name / "start.json").read_text() for name in WAYS}
    assert len(starts) == 1

    n_steps = len(trained_steps)
    status, _ = compare("--seeds", "0", "1", "--resume")
    again = records.read_json(out / "compare_training.json")
    assert status == 0 and len(trained_steps) == n_steps, "what is finished is kept"
    assert again["ways"] == result["ways"] and again["main"] == result["main"]


def test_a_killed_comparison_goes_on(compare, fewer_ways, monkeypatch):
    whole_out = compare(out="whole")[1]
    train_joint, calls = script.train_joint, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train_joint(*args)

    monkeypatch.setattr(script, "train_joint", killed)
    assert compare(out="killed")[0] == 130
    status, out = compare("--resume", out="killed")
    assert status == 0
    whole, resumed = (records.read_json(folder / "compare_training.json") for folder in (whole_out, out))
    assert resumed["ways"] == whole["ways"]


def test_the_main_network_of_an_experiment_can_be_the_start(compare, fewer_ways, trained_steps, capsys):
    _, out = compare()
    n_steps = len(trained_steps)
    first = records.read_json(out / "compare_training.json")
    status, given = compare("--baseline", str(out / "seed0" / "main"), out="b")
    second = records.read_json(given / "compare_training.json")
    assert status == 0 and second["ways"] == first["ways"]
    assert second["command"] == "experiments/compare_training.py"
    assert len(trained_steps) - n_steps == n_steps * 4 // 5, "all but the main network"
    assert compare("--baseline", str(given), out="c")[0] == 2
    assert "expected baseline.npz" in capsys.readouterr().err


def test_a_run_that_started_from_another_main_network_is_not_gone_on_with(compare, fewer_ways, capsys):
    _, out = compare()
    other = compare("--seeds", "1", out="b")[1] / "seed1" / "main"
    assert compare("--baseline", str(other), "--resume")[0] == 2
    assert "expected a run that started from these weights" in capsys.readouterr().err


def test_the_figures_are_those_of_the_reference_path(rng):
    net = tiny_net()
    net.initialise((1, 6, 6))
    x, labels = rng.random((30, 1, 6, 6)).astype(np.float32), rng.integers(0, 3, 30).astype(np.int32)
    figures = script.evaluate_exits(net, analysis.Prepared(x, labels, x[:20], labels[:20]), (0.9, 1.0, 1.2))
    answers = run(net, x[:20], figures["thresholds"])
    paths = np.array(make_plan(net, (1, 6, 6)).path_multiply_adds())
    assert figures["accuracy_pct"] == pytest.approx(100 * (answers.labels == labels[:20]).mean())
    assert figures["leaving_early_pct"] == pytest.approx(100 * (answers.exits < 2).mean())
    assert figures["multiply_adds"] == pytest.approx(paths[answers.exits].mean())


def result_of(joint_pct, heads_pct):
    def way(name, last_pct):
        runs = [{"seed": n, "exits_pct": [90.0, pct], "accuracy_pct": pct} for n, pct in enumerate(last_pct)]
        return {"name": name, "runs": runs}

    ways = [way("joint", joint_pct), way("heads-only", heads_pct), way("last-only", heads_pct)]
    return {"n_test": 10_000, "ways": ways}


def test_the_answer_says_whether_and_by_how_much():
    text = script.answer(result_of([99.0, 99.2], [98.0, 98.4]))
    assert "Against separate training, the last exit: joint training helps, +0.90 ± 0.14 points." in text
    assert "the first exit: joint training makes no difference that shows, +0.00 ± 0.00 points." in text
    assert "Against the main network alone, trained as long, the last exit: joint training helps" in text
    assert "joint training hurts, -0.50 points" in script.answer(result_of([98.5], [99.0]))

"""The comparison of ways to train, on a tiny network and data set."""

import pathlib
import shlex
import sys

import numpy as np
from tiny import N_CLASSES, SHAPE, tiny_list, tiny_net

from branchynet import records, save_weights
from branchynet.datasets import Dataset, Samples
from branchynet.training import TrainingSettings, weighting_names

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
import compare_training as script
from released import Network


def samples(n):
    rng = np.random.default_rng(n)
    labels = rng.integers(0, N_CLASSES, n).astype(np.int32)
    return Samples((rng.integers(0, 60, (n, *SHAPE)) + 90 * labels[:, None, None, None]).astype(np.uint8), labels)


def run_script(monkeypatch, out, *options):
    monkeypatch.setattr(script.sys, "argv", ["compare_training.py", "--out", str(out), *map(str, options)])
    assert script.main() == 0
    return records.read_json(out / "compare_training.json")


def test_all_variants_start_from_the_same_main_network_and_a_stopped_run_goes_on(tmp_path, monkeypatch, capsys):
    dataset = Dataset("mnist", tuple("abc"), samples(5060), samples(40), "made by the test")
    monkeypatch.setattr(script.datasets, "load", lambda name, data_dir: dataset)
    settings = TrainingSettings(epochs=1, batch_size=16, alpha=1e-2)
    monkeypatch.setattr(
        script, "NETWORKS", {"lenet": (Network(tiny_list, "mnist", "scale", "nothing"), settings, None)}
    )
    net = tiny_net(seed=5)
    net.initialise(SHAPE)
    save_weights(net, tmp_path / "baseline")
    options = ["--baseline", tmp_path / "baseline", "--seeds", 0, 1]
    result = run_script(monkeypatch, tmp_path / "out", *options)
    names = [variant["name"] for variant in result["variants"]]
    assert names[:4] == list(script.variants(3))[:4] and len(names) == 4 + len(weighting_names())
    for variant in result["variants"]:
        assert len(variant["seeds"]) == 2 and len(variant["seeds"][0]["exit_accuracy_pct"]) == 3
    alone, separate = (variant["seeds"] for variant in result["variants"][2:4])
    assert separate[0]["exit_accuracy_pct"][-1] == separate[1]["exit_accuracy_pct"][-1], "the trunk is frozen"
    assert alone[0]["exit_accuracy_pct"][:-1] != separate[0]["exit_accuracy_pct"][:-1], "no branch is trained"
    assert separate[0]["exit_accuracy_pct"] != separate[1]["exit_accuracy_pct"], "each seed draws other branches"
    text = capsys.readouterr().out
    assert "separate: exits on the frozen trunk" in text and "±" in text

    def no_step(*arguments, **settings):
        raise AssertionError("a finished variant is not trained again")

    monkeypatch.setattr("branchynet.training.updater.JointUpdater.update_core", no_step)
    assert run_script(monkeypatch, tmp_path / "out", *options)["variants"] == result["variants"]
    some = run_script(monkeypatch, tmp_path / "out", *options, "--variants", *names[2:4])
    assert [variant["name"] for variant in some["variants"]] == names[2:4]
    assert shlex.split(some["command"])[-3:] == ["--variants", *names[2:4]] and "--variants" not in result["command"]

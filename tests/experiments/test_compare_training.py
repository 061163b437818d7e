"""The comparison of ways to train, on a tiny network and data set."""

import shlex

import compare_training as script
import pytest
from future.ways_to_train import ways_to_train
from tiny import SHAPE, tiny_list, tiny_net, tiny_samples

from branchynet import records, save_weights
from branchynet.datasets import Dataset
from branchynet.experiment import Experiment, Preset
from branchynet.machine.workers import Workers
from branchynet.training import WEIGHTINGS, TrainingSettings
from networks import zoo


@pytest.fixture
def run_script(tmp_path, monkeypatch):
    """(options) -> the record that the script leaves, of a tiny network with a plain network at `tmp_path`/plain."""
    settings = TrainingSettings(epochs=9, batch_size=16, alpha=1e-2)
    experiment = Experiment("tiny.py", "Tiny", None, ("mnist",), {"standard": Preset(settings, settings, "")})
    dataset = Dataset("mnist", tuple("abc"), tiny_samples(5060), tiny_samples(40, 1), "made by the test")
    network = zoo.Network("tiny", "Tiny", tiny_list, "mnist", "scale", (0.5,))
    monkeypatch.setattr(script.datasets, "load", lambda name, data_dir: dataset)
    monkeypatch.setattr(script, "NETWORKS", {"tiny": (experiment, 1)})
    monkeypatch.setattr(zoo, "NETWORKS", {"tiny": network})
    net = tiny_net(seed=5)
    net.initialise(SHAPE)
    save_weights(net, tmp_path / "plain")

    def run(*options):
        words = ["--network", "tiny", "--plain-from", tmp_path / "plain", "--out", tmp_path / "out", *options]
        assert script.main(list(map(str, words))) == 0
        return records.read_json(tmp_path / "out" / "compare_training.json")

    return run


def test_all_variants_start_from_the_same_plain_network_and_a_stopped_run_goes_on(run_script, monkeypatch, capsys):
    result = run_script("--seeds", 0, 1)
    names = [variant["name"] for variant in result["variants"]]
    assert names == list(script.variants(3)) and len(names) == 5 + len(WEIGHTINGS.names())
    assert (result["schema"], result["network"], result["epochs"]) == (2, "tiny", 1)
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
    assert run_script("--seeds", 0, 1)["variants"] == result["variants"]
    some = run_script("--seeds", 0, 1, "--variants", *names[2:4])
    assert [variant["name"] for variant in some["variants"]] == names[2:4]
    assert shlex.split(some["command"])[-3:] == ["--variants", *names[2:4]] and "--variants" not in result["command"]


def test_an_error_in_one_of_several_workers_ends_all(tmp_path, monkeypatch, capsys):
    aborted = []

    class TwoWorkers(Workers):
        size, rank, on_this_machine = 2, 0, 2

        def __init__(self):
            pass

        def abort(self, status):
            aborted.append(status)

    monkeypatch.setattr(script, "get_workers", TwoWorkers)
    options = ["--plain-from", str(tmp_path / "nothing"), "--out", str(tmp_path)]
    monkeypatch.setattr(
        script, "train_variants", lambda *arguments: records.prepare_output(tmp_path / "file" / "in it")
    )
    (tmp_path / "file").touch()
    assert script.main(options) == 2 and aborted == [2]
    assert "compare_training.py: error: results: expected a folder" in capsys.readouterr().err


def test_released_tables_are_those_of_the_released_records():
    folders = sorted((zoo.RELEASED / "compare-training").iterdir())
    assert folders
    for folder in folders:
        record = records.read_json(folder / "compare_training.json")
        assert record["schema"] == script.SCHEMA and record["network"] in script.NETWORKS
        assert {variant["name"] for variant in record["variants"]} <= set(script.variants(2))
        assert ways_to_train(record) + "\n" == (folder / "compare_training.md").read_text(encoding="utf-8")

"""The comparison of ways to train, on a tiny network and data set."""

import shlex

import compare_training as script
import pytest
from future.ways_to_train import ways_to_train
from tiny import tiny_net

from branchynet import datasets, records, save_weights
from branchynet.training import WEIGHTINGS
from networks import zoo


@pytest.fixture
def run_script(tiny_network, tiny_experiment, tmp_path, monkeypatch):
    """(options) -> the record that the script leaves, of a tiny network with a plain network."""
    monkeypatch.setattr(script, "NETWORKS", {"tiny": (tiny_experiment, 1)})

    def run(*options):
        words = ["--network", "tiny", "--plain-from", tiny_network.folder / "plain", "--out", tmp_path / "out"]
        assert script.main(list(map(str, [*words, *options]))) == 0
        return records.read_json(tmp_path / "out" / "compare_training.json")

    return run


def test_all_variants_start_from_the_same_plain_network_and_a_stopped_run_goes_on(run_script, forbid_training, capsys):
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
    forbid_training("a finished variant is not trained again")
    assert run_script("--seeds", 0, 1)["variants"] == result["variants"]
    some = run_script("--seeds", 0, 1, "--variants", *names[2:4])
    assert [variant["name"] for variant in some["variants"]] == names[2:4]
    assert shlex.split(some["command"])[-3:] == ["--variants", *names[2:4]] and "--variants" not in result["command"]


def test_a_plain_network_of_other_images_is_refused(run_script, tiny_network, tmp_path, capsys):
    other = {"name": "mnist", "train_sha256": {"images": "0", "labels": "0"}}
    stem = tiny_network.folder / "plain"
    save_weights(tiny_net(seed=5), stem, transform=datasets.scale, class_names=("a", "b", "c"), dataset=other)
    words = ["--network", "tiny", "--plain-from", str(stem), "--out", str(tmp_path / "other")]
    assert script.main(words) == 2
    assert f"{stem}: expected weights trained on " in capsys.readouterr().err


def test_released_tables_are_those_of_the_released_records():
    folders = sorted((zoo.RELEASED / "compare-training").iterdir())
    assert folders
    for folder in folders:
        record = records.read_json(folder / "compare_training.json")
        assert record["schema"] == script.SCHEMA and record["network"] in script.NETWORKS
        assert {variant["name"] for variant in record["variants"]} <= set(script.variants(2))
        assert ways_to_train(record) + "\n" == (folder / "compare_training.md").read_text(encoding="utf-8")

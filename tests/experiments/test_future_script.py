"""`experiments/future_work.py` from its command line to its report, on a tiny network and data made here."""

import dataclasses

import future_work as script
import pytest
from tiny import assert_is_drawn, tiny_samples
from tiny_experiment import tiny_dataset

from branchynet import datasets, records
from branchynet.bench import paths
from branchynet.confidence import MEASURES, register_measure
from branchynet.datasets import Dataset
from branchynet.machine.devices import get_device
from networks import zoo

SOME = ("entropy", "calibrated-entropy", "opengan", "openmax")


@pytest.fixture
def a_released_network(tiny_network, monkeypatch):
    """A network whose weights are "released", one whose weights are not, and data of two kinds."""
    monkeypatch.setitem(zoo.NETWORKS, "later", dataclasses.replace(tiny_network, name="later"))
    known = tiny_dataset(n_test=150)
    unknown = Dataset("fashion-mnist", tuple("def"), tiny_samples(9), tiny_samples(40, 2), "made by the test")
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: {"mnist": known, "fashion-mnist": unknown}[name])
    monkeypatch.setattr(script, "SETTINGS_TO_TRY", {"opengan": {"n_steps": (2, 3)}})
    # A million times what was measured: it can be met on any machine, however busy.
    monkeypatch.setattr(script, "GOALS", ("knee", "latency<={reference_ms:.6f}e6ms", "latency<=0ms"))
    monkeypatch.setattr(paths, "MIN_SAMPLES", 5)
    monkeypatch.setattr(MEASURES, "_entries", {name: MEASURES.get(name) for name in SOME})


def write_comparison(folder, name):
    folder.mkdir(parents=True)
    result = {"exit_accuracy_pct": [98.7, 99.2, 99.3], "accuracy_pct": 99.1, "early_pct": 90.0, "multiply_adds": 3e5}
    record = {
        "network": "tiny",
        "epochs": 2,
        "command": "experiments/compare_training.py --network tiny",
        "environment": records.environment(get_device("cpu")),
        "variants": [{"name": name, "seeds": [result]}],
    }
    records.write_json(folder / "compare_training.json", record)


def test_one_report_of_everything_a_new_measure_included(a_released_network, tmp_path, capsys):
    @register_measure("the largest logit")
    def largest_logit(logits):
        return -logits.max(axis=1)

    write_comparison(tmp_path / "training" / "tiny", "self-distillation")
    out = tmp_path / "out"
    assert script.main(["--out", str(out), "--budget", "0.01", "--training", str(tmp_path / "training")]) == 0
    text = (out / "report.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    figures = ["tiny-reliability.png", "tiny-tradeoffs.png"]
    assert sorted(path.name for path in out.iterdir()) == ["future.json", "report.md", *figures]
    for name in figures:
        assert_is_drawn(out / name)

    result = records.read_json(out / "future.json")
    (network,) = result["networks"]
    assert result["schema"] == 2 and network["name"] == "tiny", "what is not released is not studied unasked"
    for part in (network["measures"], network["unknown"]["measures"]):
        assert [row["name"] for row in part] == [*SOME, "the largest logit"]
    assert text.count("| the largest logit ") == 2, "it has its row in both tables"
    assert (network["n_fit"], network["n_choose"], network["n_test"]) == (1000, 4000, 150)
    assert network["n_training"] == 100 and network["fits"]["openmax"]["n_samples"] == 100
    assert len(network["fits"]["opengan"]["tried"]) == 2 and "the best of 2 settings" in text
    goals = network["goals"]
    assert [set(row) == {"goal", "problem"} for row in goals] == [False, False, True] and "cannot be had: " in text
    for is_met in (True, False):
        goals[1]["promise"]["met"] = is_met
        counted = f"Of 1 goals here that promise something, {int(is_met)} were met on the test samples"
        assert counted in script.report.future_work(result)
    assert "| self-distillation | 98.70 | 99.20 | 99.30 | 99.10 | 90.0 " in " ".join(text.split())
    assert "openmax could refuse" in text and "opengan could refuse" in text
    assert f"T = {network['reference']['thresholds'][0]:g}" in text


def test_comparisons_of_training_are_read_where_there_are_any(tmp_path):
    assert script.read_training(tmp_path) == script.read_training(tmp_path / "no") == []
    write_comparison(tmp_path / "b", "plain"), write_comparison(tmp_path / "a", "other")
    assert [record["variants"][0]["name"] for record in script.read_training(tmp_path)] == ["other", "plain"]


def test_without_the_weights_of_a_network_the_message_says_what_was_expected(a_released_network, tmp_path, capsys):
    assert script.main(["--networks", "tiny", "later", "--out", str(tmp_path / "out")]) == 2
    assert "later: expected released weights" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_the_released_report_is_that_of_the_released_record(tmp_path):
    folder = script.HERE / "results" / "released" / "future"
    result = records.read_json(folder / "future.json")
    assert result["schema"] == script.SCHEMA
    assert script.report.future_work(result) == (folder / "report.md").read_text(encoding="utf-8")

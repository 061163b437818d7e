"""The benchmark from its command line to its records, table and figure, on a tiny network."""

import benchmark as script
import numpy as np
import pytest
from PIL import Image
from tiny import SHAPE, tiny_list, tiny_net, tiny_samples

from branchynet import datasets, records, save_weights
from branchynet.datasets import Dataset
from branchynet.inference.engines import engine_classes
from networks import zoo


@pytest.fixture
def run_script(tmp_path, monkeypatch):
    """(options) -> the record that the script leaves of a tiny network with weights at `tmp_path`."""
    dataset = Dataset("mnist", tuple("abc"), tiny_samples(5100), tiny_samples(70, 1), "made by the test")
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    network = zoo.Network("tiny", "Tiny", tiny_list, "mnist", "scale", (0.5,), paper_exit_shares=(0.5, 0.25))
    monkeypatch.setattr(zoo, "NETWORKS", {"tiny": network})
    monkeypatch.setattr(script.peers, "has_torch", lambda: False)
    net = tiny_net()
    net.initialise(SHAPE)
    save_weights(net, tmp_path / "weights", transform=datasets.scale)

    def run(*options):
        words = ["--networks", "tiny", "--weights", tmp_path, "--out", tmp_path, "--budget", 0.1, *options]
        assert script.main(list(map(str, words))) == 0
        return records.read_json(tmp_path / "tiny" / "bench.json")

    return run


def test_a_benchmark_leaves_records_table_and_figure(run_script, tmp_path, capsys):
    result = run_script("--batch-sizes", 1, 8)
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {"bench.json", "bench.md", "latency.png"}
    assert result["schema"] == 2 and result["command"].startswith("experiments/benchmark.py --networks tiny ")
    names = {f"{engine}, {form}" for engine in engine_classes() for form in ("plain net", "early exit")}
    assert names - set(result["compile"]) == {
        f"{name}, {form}" for name in result["left_out"] for form in ("plain net", "early exit")
    }
    assert {row["batch_size"] for row in result["rows"]} == {1, 8}
    for row in result["rows"]:
        assert row["n_batches"] >= 3 and row["ms_per_sample"]["mean"] > 0
    early = [row for row in result["rows"] if row["name"] == "arrays, early exit"]
    for row in early:
        gain = row["gain_over"]["arrays, plain net"]
        assert gain["low"] <= gain["value"] <= gain["high"] and sum(row["exit_pct"]) == pytest.approx(100)
    assert len(early[0]["ms_per_exit"]) == 3 and "ms_per_exit" not in early[1]
    for found in result["agreement"].values():
        assert found["n_samples"] == 70
    assert (tmp_path / "tiny" / "bench.md").read_text() in capsys.readouterr().out
    with Image.open(tmp_path / "tiny" / "latency.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_samples_leave_at_the_thresholds_given_or_at_the_papers_mix(run_script):
    given = run_script("--batch-sizes", 1, "--thresholds", 0, 0)
    assert given["thresholds"] == [0, 0] and given["exit_pct"] == [0, 0, 100]
    at_the_mix = run_script("--batch-sizes", 1, "--paper-mix")
    assert at_the_mix["exit_pct"][0] == pytest.approx(50, abs=20)
    assert at_the_mix["command"].endswith("--paper-mix")


def test_an_engine_that_answers_otherwise_is_found_out(run_script, monkeypatch):
    other, compile_net = tiny_net(seed=1), script.compile_net
    other.initialise(SHAPE)
    monkeypatch.setattr(script, "compile_net", lambda net, **options: compile_net(other, **options))
    with pytest.raises(RuntimeError, match="answers differ from those of the reference path"):
        run_script("--batch-sizes", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--networks", "lenet", "alexnet-paper", "--thresholds", "0.5"], "name it: --networks lenet"),
        (["--budget", "0"], "--budget: expected a number > 0"),
        (["--batch-sizes", "0"], "--batch-sizes: expected"),
        (["--thresholds", "0.5", "--paper-mix"], "not allowed with"),
        (["--networks", "nothing"], "invalid choice: 'nothing'"),
    ],
)
def test_bad_options_are_refused_in_words(options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main([*options, "--out", "x"])
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_more_samples_at_a_time_than_there_are_is_refused(run_script, tmp_path, capsys):
    words = ["--networks", "tiny", "--weights", tmp_path, "--out", tmp_path, "--batch-sizes", 71]
    assert script.main(list(map(str, words))) == 2
    assert "expected at most the 70 test images, got 71" in capsys.readouterr().err

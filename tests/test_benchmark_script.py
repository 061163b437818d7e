"""The parts of `experiments/benchmark.py` that decide something."""

import pathlib
import sys

import numpy as np
import pytest
from tiny import N_CLASSES, SHAPE, tiny_list, tiny_net

from branchynet import BranchyNet, datasets, records, save_weights
from branchynet.datasets import Dataset, Samples
from branchynet.inference.plan import gain_limits, make_plain_plan, make_plan
from networks import lenet_mnist

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
import benchmark as script
from released import Network


def test_the_limit_of_the_gain_and_the_break_even_follow_from_multiply_adds():
    net = BranchyNet(lenet_mnist.get_network())
    net.initialise(lenet_mnist.INPUT_SHAPE)
    plans = make_plan(net, net.sample_shape), make_plain_plan(net, net.sample_shape)
    result = gain_limits(*plans, [94.3, 5.7])
    assert result["plain_multiply_adds"] == 1_140_070
    assert result["multiply_add_limit_of_gain"] == pytest.approx(1_140_070 / (0.943 * 220_150 + 0.057 * 1_247_720))
    (first,) = result["early_exits"]
    assert first["break_even_pct_of_reaching"] == pytest.approx(100 * 107_650 / (1_140_070 - 112_500))
    assert first["leaving_pct_of_reaching"] == pytest.approx(94.3)


def test_a_benchmark_leaves_records_table_and_figure(tmp_path, monkeypatch, capsys):
    samples = [Samples(tiny_images(n), np.arange(n, dtype=np.int32) % N_CLASSES) for n in (5100, 70)]
    dataset = Dataset("mnist", tuple("abc"), *samples, "made by the test")
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    monkeypatch.setattr(script, "NETWORKS", {"tiny": Network(tiny_list, "mnist", "scale", "nothing")})
    monkeypatch.setattr(script, "PAPER_EXIT_MIX", {"tiny": (0.5, 0.25)})
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)  # without PyTorch
    net = tiny_net()
    net.initialise(SHAPE)
    save_weights(net, tmp_path / "weights")
    options = ["--networks", "tiny", "--weights", tmp_path, "--out", tmp_path, "--batch-sizes", 1, 8, "--budget", 0.1]
    monkeypatch.setattr(script.sys, "argv", ["benchmark.py", *map(str, options)])
    assert script.main() == 0
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {"bench.json", "bench.md", "latency.png"}
    result = records.read_json(tmp_path / "tiny" / "bench.json")
    assert {row["batch_size"] for row in result["rows"]} == {1, 8}
    assert result["agreement"]["arrays, early exit"]["n_samples"] == 70
    assert "arrays, early exit" in capsys.readouterr().out


def tiny_images(n):
    return np.random.default_rng(n).integers(0, 256, (n, *SHAPE)).astype(np.uint8)


def test_weights_without_the_network_that_they_are_of_are_refused(capsys):
    with pytest.raises(SystemExit):
        script.parse_arguments(["--networks", "lenet", "alexnet-paper", "--thresholds", "0.5", "--out", "x"])
    assert "name it: --networks lenet" in capsys.readouterr().err

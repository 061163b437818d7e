"""Figures are written, of a size to be read, for every kind of run; whether they are clear is for eyes to judge."""

import copy
import pathlib

import numpy as np
import pytest
from PIL import Image
from synthetic_run import make_run

from branchynet import plots, report

REFERENCE = report.load_reference(pathlib.Path(__file__).resolve().parents[1] / "experiments" / "reference")


def assert_is_a_figure(path):
    with Image.open(path) as image:
        assert min(image.size) > 300
        assert np.asarray(image.convert("L")).std() > 5, "it is not blank"


@pytest.mark.parametrize("n_early", [1, 2])
def test_the_tradeoff_as_png_and_pdf(n_early, tmp_path):
    plots.tradeoff(make_run(n_early), REFERENCE, tmp_path / "tradeoff")
    assert_is_a_figure(tmp_path / "tradeoff.png")
    assert (tmp_path / "tradeoff.pdf").read_bytes().startswith(b"%PDF")


def test_a_sweep_of_one_point_and_no_reference(tmp_path):
    plots.tradeoff(make_run(grid=(0.5,)), {"paper": [], "authors": []}, tmp_path / "tradeoff")
    assert_is_a_figure(tmp_path / "tradeoff.png")


@pytest.mark.parametrize("phases", [["main"], ["main", "joint"]])
def test_training_with_one_phase_and_with_both(phases, tmp_path):
    run = copy.deepcopy(make_run())
    run["history"] = [entry for entry in run["history"] if entry["phase"] in phases]
    assert run["history"]
    plots.training(run, tmp_path / "training.png")
    assert_is_a_figure(tmp_path / "training.png")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("exits", [[0] * 30, [1] * 30, [0, 1, 1] * 10])
def test_samples_of_exits_that_few_or_none_left_at(exits, channels, tmp_path, rng):
    images = rng.integers(0, 256, (30, channels, 12, 12)).astype(np.uint8)
    result = {"label": np.zeros(30, int), "exit": np.array(exits), "entropy": rng.random(30)}
    plots.exits(images, np.arange(30) % 2, result, tmp_path / "exits.png", ("no", "yes"))
    assert_is_a_figure(tmp_path / "exits.png")


@pytest.mark.parametrize("n_early", [1, 2])
def test_the_share_that_leaves_early(n_early, tmp_path):
    plots.exit_share(make_run(n_early), tmp_path / "share.png")
    assert_is_a_figure(tmp_path / "share.png")


def test_latencies_of_a_benchmark(tmp_path):
    latency = {"mean": 1.0, "p50": 0.9, "p90": 1.5, "p99": 2.0}
    names = ("plain Chainer, plain net", "arrays, plain net", "arrays, early exit")
    rows = [{"name": name, "batch_size": size, "ms_per_sample": latency} for size in (1, 32) for name in names]
    exits = [{"exit": 1, "leaving_pct_of_reaching": 94.3, "break_even_pct_of_reaching": 10.5}]
    limits = {"multiply_add_limit_of_gain": 4.1, "early_exits": exits}
    result = {"network": "lenet", "rows": rows, "limits": limits, "environment": {"device": "Model X"}}
    plots.latencies(result, tmp_path / "latency.png")
    assert_is_a_figure(tmp_path / "latency.png")


def test_gains_of_two_networks(tmp_path):
    comparisons = {"B-LeNet": [("paper", 5.4), ("ours, end to end", 1.9)], "B-AlexNet": [("paper", 1.5)]}
    plots.gains(comparisons, tmp_path / "gains.png")
    assert_is_a_figure(tmp_path / "gains.png")


def test_figures_leave_pyplot_alone(tmp_path):
    import sys

    plots.exit_share(make_run(), tmp_path / "share.png")
    assert "matplotlib.pyplot" not in sys.modules

"""Figures are written, of a size to be read, for every kind of run; whether they are clear is for eyes to judge."""

import sys

import numpy as np
import pytest
from synthetic_run import PUBLISHED, change, latency, make_run
from tiny import assert_is_drawn

from branchynet import plots
from branchynet.thresholds import ExitRecords

FIGURES = (
    *("measured.accuracy_pct", "measured.end_to_end_ms.mean", "measured.end_to_end_gain.value"),
    *("points.4.accuracy_pct", "points.4.end_to_end_ms", "points.4.end_to_end_gain", "points.4.paper_clock_gain"),
    *("baselines.0.accuracy_pct", "measured.plain_ms.mean"),
)


@pytest.mark.parametrize("n_early", [1, 2])
def test_the_tradeoff_as_png_and_pdf(n_early, tmp_path):
    plots.tradeoff(make_run(n_early), PUBLISHED, tmp_path / "tradeoff")
    assert_is_drawn(tmp_path / "tradeoff.png")
    assert (tmp_path / "tradeoff.pdf").read_bytes().startswith(b"%PDF")


def test_a_sweep_of_one_point_with_nothing_published_and_nothing_timed(tmp_path):
    run = make_run(grid=(0.5,))
    run["measured"].update(end_to_end_ms=None, end_to_end_gain=None)
    plots.tradeoff(run, {"paper": [], "authors": []}, tmp_path / "tradeoff")
    assert_is_drawn(tmp_path / "tradeoff.png")


@pytest.mark.parametrize("place", FIGURES)
def test_every_figure_of_the_tradeoff_comes_from_the_record_by_both_clocks(place, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots.style, "save", lambda figure, *paths: drawn.append(figure.axes))
    for value in (7.7, 8.9):
        run = make_run()
        change(run, place, value)
        plots.tradeoff(run, PUBLISHED, "tradeoff")
    first, second = ([line.get_xydata().tolist() for axes in panels for line in axes.lines] for panels in drawn)
    assert first != second


@pytest.mark.parametrize("phases", [[], ["plain"], ["plain", "joint"]])
def test_training_with_no_phase_one_and_both(phases, tmp_path):
    history = [entry for entry in make_run()["history"] if entry["phase"] in phases]
    assert {entry["phase"] for entry in history} == set(phases)
    plots.training(make_run(history=history), tmp_path / "training.png")
    assert_is_drawn(tmp_path / "training.png")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("exits", [[0] * 30, [1] * 30, [0, 1, 1] * 10])
def test_samples_of_exits_that_few_or_none_left_at(exits, channels, tmp_path, rng):
    images = rng.integers(0, 256, (30, channels, 12, 12)).astype(np.uint8)
    exit_records = ExitRecords.of(list(rng.normal(size=(2, 30, 2)).astype(np.float32)), np.arange(30) % 2)
    plots.exits(images, exit_records, np.array(exits), tmp_path / "exits.png", ("no", "yes"))
    assert_is_drawn(tmp_path / "exits.png")


@pytest.mark.parametrize("n_early", [1, 2])
def test_the_share_that_leaves_early_is_drawn_and_pyplot_left_alone(n_early, tmp_path):
    plots.exit_share(make_run(n_early), tmp_path / "share.png")
    assert_is_drawn(tmp_path / "share.png")
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(("sizes", "words"), [((1, 32), "one sample at a time"), ((1024, 4096), "batches of 1,024")])
def test_latencies_of_a_benchmark(tmp_path, monkeypatch, sizes, words):
    names = ("plain Chainer, plain net", "arrays, plain net", "arrays, early exit")
    rows = [{"name": name, "batch_size": size, "ms_per_sample": latency(1.0)} for size in sizes for name in names]
    exits = [{"exit": 1, "leaving_pct_of_reaching": 94.3, "break_even_pct_of_reaching": 10.5}]
    limits = {"multiply_add_limit_of_gain": 4.1, "early_exits": exits}
    result = {"network": "lenet", "rows": rows, "limits": limits, "environment": {"device": "Model X"}}
    plots.latencies(result, tmp_path / "latency.png")
    assert_is_drawn(tmp_path / "latency.png")
    titles = []
    monkeypatch.setattr(
        plots.style, "save", lambda figure, path: titles.extend(axes.get_title() for axes in figure.axes)
    )
    plots.latencies(result, "latency.png")
    assert titles[0] == f"lenet, {words}, one thread (Model X): mean, line to p90"


def test_throughput_by_batch_size_of_a_gpu_beside_a_cpu(tmp_path, monkeypatch):
    names = ("plain Chainer, plain net", "cuda, plain net", "cuda, early exit", "arrays, early exit")
    ms = {"cuda, early exit": 1.0, "arrays, early exit": 2.0}
    rows = [
        {"name": name, "batch_size": size, "ms_per_sample": latency(ms.get(name, 4.0) / size), "samples_in": place}
        for size in (64, 1)
        for name in names
        for place in ("host", "device")
    ]
    on_gpu = {"network": "lenet", "rows": rows, "environment": {"device": "Tiny GPU"}}
    without_place = [{key: value for key, value in row.items() if key != "samples_in"} for row in rows[::2]]
    on_cpu = {"network": "lenet", "rows": without_place, "environment": {"device": "Model X"}}
    plots.by_batch_size([on_gpu, on_cpu], tmp_path / "batches.png")
    assert_is_drawn(tmp_path / "batches.png")

    drawn = []
    monkeypatch.setattr(plots.style, "save", lambda figure, path: drawn.extend(figure.axes[0].lines))
    plots.by_batch_size([on_gpu, on_cpu], "batches.png")
    assert len(drawn) == 9 and drawn[0].get_label() == "cuda, early exit: Tiny GPU, samples in memory of the host"
    assert drawn[0].get_xydata().tolist() == [[1, 1000], [64, 64_000]]


def test_gains_of_two_networks_and_of_one_without_any(tmp_path):
    comparisons = [
        ("B-LeNet", [("paper", 5.4), ("ours, end to end", 1.9)]),
        ("B-AlexNet", [("paper", 1.5)]),
        ("Mine", []),
    ]
    plots.gains(comparisons, tmp_path / "gains.png")
    assert_is_drawn(tmp_path / "gains.png")

"""The benchmark of a training step: all in turn, and compared with intervals."""

import argparse
import contextlib
import pathlib
import sys

import numpy as np

from branchynet import records
from branchynet.processes import Processes

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
import benchmark_training as script


def test_contenders_take_turns_in_an_order_that_is_reversed_every_time():
    taken = []
    steps = {
        name: script.Contender(lambda name=name: taken.append(name), contextlib.nullcontext)
        for name in ("ours", "theirs")
    }
    seconds = script.time_in_turn(steps, 2, Processes())
    turns = [turn for turn, before in zip(taken, [None, *taken]) if turn != before]
    assert turns == ["theirs", "ours", "theirs", "ours"], "neighbours that are the same are one turn after the other"
    assert {name: len(values) for name, values in seconds.items()} == {"ours": 6, "theirs": 6}, (
        "the first round is free"
    )


def test_the_record_compares_with_the_fastest_way_of_ours(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "preparation_ms", lambda module, batch_size: 0.5)
    processes = Processes()
    processes.size = 2
    seconds = {"branchynet": np.full(6, 0.4), "branchynet, 2 processes": np.full(6, 0.2), "PyTorch": np.full(6, 0.3)}
    arguments = argparse.Namespace(batch_size=10, threads=2, rounds=2, out=tmp_path / "training.json")
    script.report(seconds, {"PyTorch": 12.0}, script.lenet_mnist, processes, arguments)
    rows = {row["name"]: row for row in records.read_json(arguments.out)["contenders"]}
    ratio = rows["PyTorch"]["time_ratio"]
    assert ratio["to"] == "branchynet, 2 processes"
    np.testing.assert_allclose([ratio["value"], ratio["low"], ratio["high"]], 1.5)
    assert rows["PyTorch"]["ms_per_sample"] == {"median": 30.0, "min": 30.0}
    assert "30.000 ms per sample" in capsys.readouterr().out

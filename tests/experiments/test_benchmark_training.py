"""The benchmark of a training step: every contender takes the same step, and is compared with intervals."""

import benchmark_training as script
import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_net

from branchynet import records
from branchynet.machine.workers import Workers


@pytest.fixture(autouse=True)
def without_pytorch(monkeypatch):
    monkeypatch.setattr(script.peers, "has_torch", lambda: False)
    monkeypatch.setattr(script, "peak_memory_mb", lambda names, words: {"plain Chainer": 12.0})


def test_every_contender_takes_the_same_step():
    batch, found = tiny_batch(16), {}
    for name, make in script.contenders(1, Workers()).items():
        net = tiny_net()
        net.initialise(SHAPE)
        dropout = net.trunk[1].layers[2]
        dropout.args = (0.0,)  # it draws
        contender = make(net)
        with contender.context():
            contender.answer(batch)
        found[name] = np.concatenate([param.array.ravel() for _, param in sorted(net.namedparams())])
    assert list(found) == ["branchynet", "plain Chainer"]
    np.testing.assert_allclose(found["branchynet"], found["plain Chainer"], rtol=1e-4, atol=1e-5)


def test_the_time_of_each_is_relative_to_the_way_of_ours_in_medians_over_rounds():
    step_ms = {"branchynet": np.full(6, 200.0), "PyTorch": np.full(6, 300.0)}
    rows = {row["name"]: row for row in script.rows_of(step_ms, 10, {"PyTorch": 12.0}, "branchynet")}
    assert rows["PyTorch"]["time_ratio"] == {"to": "branchynet", "value": 1.5, "low": 1.5, "high": 1.5}
    assert rows["PyTorch"]["ms_per_sample"] == {"median": 30.0, "min": 30.0}
    assert (rows["PyTorch"]["peak_memory_mb"], rows["branchynet"]["peak_memory_mb"]) == (12.0, None)


def test_several_workers_together_are_a_contender_that_the_others_are_compared_with():
    workers = Workers()
    workers.size = workers.on_this_machine = 2
    made = script.contenders(2, workers)
    assert script.name_of_ours(workers) == "branchynet, 2 workers" and "branchynet, 2 workers" in made


def test_a_run_leaves_its_record_and_prints_its_table(tmp_path, capsys):
    out = tmp_path / "training.json"
    assert script.main(["--network", "lenet", "--batch-size", "8", "--rounds", "2", "--out", str(out)]) == 0
    result = records.read_json(out)
    assert result["schema"] == 2 and "--rounds 2" in result["command"]
    assert [row["name"] for row in result["contenders"]] == ["branchynet", "plain Chainer"]
    assert result["contenders"][1]["peak_memory_mb"] == 12
    assert "| plain Chainer " in capsys.readouterr().out


@pytest.mark.parametrize(("option", "number"), [("--rounds", "1"), ("--batch-size", "0"), ("--threads", "none")])
def test_bad_options_are_refused_in_words(option, number, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main([option, number])
    assert stopped.value.code == 2 and f"{option}: expected" in capsys.readouterr().err


def test_a_contender_that_there_is_not_is_refused(capsys):
    assert script.main(["--network", "lenet", "--memory-of", "nothing"]) == 2
    assert "expected one of branchynet, plain Chainer" in capsys.readouterr().err

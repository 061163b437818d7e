"""The benchmark of a training step: all contenders do the same work, and are compared with intervals over rounds."""

import contextlib
import shlex
from types import SimpleNamespace

import benchmark_training as script
import numpy as np
import pytest
from tiny import drawn_net, tiny_batch, tiny_net

from branchynet import records
from branchynet.bench.timing import Contender, gain
from branchynet.machine.workers import Workers
from networks import resnet_cifar10, zoo


@pytest.fixture
def without_pytorch(monkeypatch):
    monkeypatch.setattr(script.peers, "has_torch", lambda: False)
    monkeypatch.setattr(script.memory, "keep_freed_memory", lambda: None)


def losses_of_steps(contender, batch, n_steps=3):
    with contender.context():
        return [contender.answer(batch) for _ in range(n_steps)]


def test_every_contender_takes_the_same_step(without_pytorch):
    found = {}
    for name, make in script.contenders(1, Workers()).items():
        net = tiny_net()
        net.trunk[1].layers[2].args = (0.0,)  # dropout: it draws
        losses_of_steps(make(net), tiny_batch(16), n_steps=1)
        found[name] = np.concatenate([param.array.ravel() for _, param in sorted(net.namedparams())])
    assert list(found) == ["branchynet", "plain Chainer"]
    np.testing.assert_allclose(found["branchynet"], found["plain Chainer"], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("name", ["lenet", "resnet"])
def test_the_losses_of_several_steps_are_those_of_pytorch(name):
    """Forward, backward and Adam: each loss follows from the steps before."""
    layers = {"lenet": zoo.LENET.build, "resnet": lambda: resnet_cifar10.get_network(n=1, branches="pooled")}[name]
    batch = script.random_batch(zoo.get({"lenet": "lenet", "resnet": "resnet-20"}[name]), 4, seed=0)
    losses = {}
    for contender, make in script.contenders(1, Workers()).items():
        losses[contender] = losses_of_steps(make(drawn_net(layers, batch[0].shape[1:])), batch)
    assert list(losses) == ["branchynet", "plain Chainer", "PyTorch eager, 1 thread"]
    ours = losses["branchynet"]
    assert ours[2] < ours[0]
    for others in losses.values():
        np.testing.assert_allclose(others, ours, rtol=2e-3)


@pytest.mark.parametrize("settle", [1, 2])
def test_a_turn_is_three_steps_after_some_that_are_not_timed(settle):
    taken = []
    made = {name: Contender(lambda batch, name=name: taken.append(name)) for name in ("ours", "theirs")}
    step_ms = script.time_steps(made, "a batch", 2, settle, Workers())
    warm_up, ours, theirs = [*["theirs"] * 4, *["ours"] * 4], ["ours"] * (3 + settle), ["theirs"] * (3 + settle)
    assert taken == [*warm_up, *ours, *theirs, *theirs, *ours], "the first round is free"
    assert {name: len(values) for name, values in step_ms.items()} == {"ours": 6, "theirs": 6}


def test_times_are_compared_in_medians_with_intervals_over_rounds(rng):
    ours, theirs = np.full(30, 200.0), rng.gamma(9, 30, 10).repeat(3)
    rows = {row["name"]: row for row in script.rows_of({"branchynet": ours, "PyTorch": theirs}, 10, {}, "branchynet")}
    expected = gain(theirs, ours, block=3, statistic=np.median)
    assert rows["PyTorch"]["time_ratio"] == {"to": "branchynet", **expected}
    assert rows["PyTorch"]["ms_per_sample"] == {"median": np.median(theirs) / 10, "min": theirs.min() / 10}
    assert rows["branchynet"]["time_ratio"] == {"to": "branchynet", "value": 1, "low": 1, "high": 1}


def test_several_workers_together_are_contenders_too(first_of_two, monkeypatch):
    monkeypatch.setattr(script.peers, "has_torch", lambda: True)
    made = script.contenders(2, first_of_two())
    assert [name for name in made if "2 workers" in name] == ["branchynet, 2 workers", "PyTorch DDP, 2 workers"]


def test_a_run_leaves_its_record_and_prints_its_table(without_pytorch, tmp_path, monkeypatch, capsys):
    asked = []

    def run(command, **options):
        asked.append(script.parse_arguments(command[2:]))
        return SimpleNamespace(stdout=b"12.5\n" if "plain Chainer" in command else b"nan\n")

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run, PIPE=None))
    out = tmp_path / "training.json"
    sizes = ["--batch-size", "8", "--rounds", "2", "--settle", "2"]
    words = ["--network", "lenet", *sizes, "--threads", "1", "--seed", "3"]
    assert script.main([*words, "--out", str(out)]) == 0
    result = records.read_json(out)
    assert (result["schema"], result["seed"], result["network"], result["workers"]) == (2, 3, "lenet", 1)
    name, *again = shlex.split(result["command"])
    assert name == "experiments/benchmark_training.py"
    assert script.parse_arguments(again) == script.parse_arguments(words)
    assert [row["name"] for row in result["contenders"]] == ["branchynet", "plain Chainer"]
    assert [row["peak_memory_mb"] for row in result["contenders"]] == [None, 12.5]
    assert [options.memory_of for options in asked] == ["branchynet", "plain Chainer"]
    assert {(options.network, options.batch_size, options.seed) for options in asked} == {("lenet", 8, 3)}
    assert "load_average_before" in result and result["environment"]["cpu"]
    assert "| plain Chainer " in capsys.readouterr().out


def test_a_process_of_its_own_takes_two_steps_and_tells_its_peak_memory(without_pytorch, monkeypatch, capsys):
    taken = []
    made = Contender(taken.append, contextlib.nullcontext)
    monkeypatch.setattr(script, "contenders", lambda n_threads, workers: {"one": lambda net: made})
    monkeypatch.setattr(script, "own_peak_memory_mb", lambda: 7.5)
    assert script.main(["--memory-of", "one", "--batch-size", "2"]) == 0
    assert capsys.readouterr().out == "7.5\n" and len(taken) == 2


def test_released_records_can_be_read():
    released = {path.stem: records.read_json(path) for path in (zoo.RELEASED / "benchmarks").glob("training-*.json")}
    assert set(released) == {"training-lenet", "training-alexnet-paper", "training-resnet-20"}
    for name, record in released.items():
        assert (record["schema"], f"training-{record['network']}") == (script.SCHEMA, name)
        assert script.table(record).count("\n| ") == 2 + len(record["contenders"]), "two lines of headings"

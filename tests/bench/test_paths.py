"""Baseline against branchy: what is inside which clock, and that the timed answers are the true ones."""

import chainer
import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_net

from branchynet import run
from branchynet.bench import paths
from branchynet.bench.timing import Clock
from branchynet.inference import record_exits
from branchynet.machine.devices import to_host


@pytest.fixture
def net(device):
    net = tiny_net()
    net.to_device(device)
    net.initialise(SHAPE)
    return net


@pytest.fixture
def contenders(net):
    """The network and its compiled forms on the engine that is always there."""
    return paths.Contenders.of(net, "arrays")


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(paths, "MIN_SAMPLES", 5)


@pytest.fixture(autouse=True)
def inference():
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        yield


def test_paths_answer_like_the_reference(net, contenders):
    x, labels = tiny_batch(20)
    threshold = float(np.median(record_exits(net, x, labels).scores[0]))
    answers = run(net, x, [threshold, 0.0])
    early_exit = paths.compiled_path(contenders.compiled, (threshold, 0.0))
    trunk = paths.trunk_path(net, [threshold, 0.0], Clock(net.device))
    chainer_plain, plain = paths.chainer_path(net), paths.compiled_path(contenders.plain, ())
    last = to_host(run(net, x, 0.0).labels)
    for i in range(20):
        sample = x[i : i + 1]
        assert early_exit(sample) == (answers.labels[i], answers.exits[i])
        assert trunk(sample)[1] == answers.exits[i]
        assert chainer_plain(sample) == plain(sample)[0] == last[i]


def test_every_path_is_timed_on_the_same_samples(contenders):
    costs = paths.path_costs(contenders, tiny_batch(30)[0], budget_s=0.1)
    n_samples = len(costs.plain_ms)
    assert 5 <= n_samples <= 30
    assert costs.end_to_end_ms.shape == costs.paper_clock_ms.shape == (3, n_samples)
    assert costs.plain_chainer_ms.shape == (n_samples,)
    assert (costs.plain_ms > 0).all()
    assert costs.exits.tolist() == [[n] * n_samples for n in range(3)], "setting n lets every sample leave at exit n"


@pytest.mark.parametrize("exit_index", range(3))
def test_the_papers_clock_leaves_the_branches_out(net, exit_index):
    """A clock that counts its readings shows it: two readings for each stage of the trunk, none for a branch."""

    class CountingClock:
        n_readings = 0

        def now_ms(self):
            self.n_readings += 1
            return float(self.n_readings)

    clock = CountingClock()
    thresholds = [np.inf if n == exit_index else 0.0 for n in range(2)]
    trunk_ms, left_at = paths.trunk_path(net, thresholds, clock)(tiny_batch(1)[0])
    assert (left_at, trunk_ms, clock.n_readings) == (exit_index, exit_index + 1, 2 * (exit_index + 1))


def test_a_measurement_reports_both_clocks_with_intervals(contenders):
    summary = paths.measure(contenders, tiny_batch(30)[0], 1.0, budget_s=0.1).summary()
    assert summary["n_samples_timed"] >= 5
    for name in ("plain_chainer_ms", "plain_ms", "end_to_end_ms", "paper_clock_ms"):
        assert set(summary[name]) == {"mean", "p50", "p90", "p99"}
    for name in ("end_to_end_gain", "gain_over_chainer", "paper_clock_gain"):
        assert summary[name]["low"] <= summary[name]["value"] <= summary[name]["high"]


def test_a_timed_path_that_answers_otherwise_is_found_out(contenders, monkeypatch):
    seven = np.array([7]), np.array([0])
    monkeypatch.setattr(paths, "compiled_path", lambda compiled, thresholds: lambda x: seven)
    with pytest.raises(RuntimeError, match="answers differ from those of the reference path"):
        paths.measure(contenders, tiny_batch(30)[0], 1.0, budget_s=0.1)


def test_the_exits_of_several_compiled_networks_are_timed_on_the_same_samples(contenders):
    compiled = contenders.compiled
    times = paths.exit_times({"one": compiled, "two": compiled}, tiny_batch(30)[0], budget_s=0.1)
    assert set(times) == {"one", "two"}
    assert times["one"].shape == times["two"].shape and times["one"].shape[0] == 3
    assert 5 <= times["one"].shape[1] <= 30 and (times["one"] > 0).all()


def test_batches_are_timed_whole_and_never_fewer_than_the_least(net):
    results = paths.time_paths({"size": len}, tiny_batch(30)[0], net.device, 1e-9, batch_size=8, at_least=2)
    assert results["size"][1] == [8, 8]
    (_, sizes), batch_size = paths.time_paths({"size": len}, tiny_batch(30)[0], net.device, 60, 8)["size"], 8
    assert sizes == [batch_size] * 3, "what is left of 30 is no batch"

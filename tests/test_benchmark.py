"""Baseline against branchy: what is inside which clock, and that the timed answers are the true ones."""

import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_net

from branchynet import benchmark, run
from branchynet.devices import to_host
from branchynet.inference import record_exits
from branchynet.timing import Clock


@pytest.fixture
def net(device):
    net = tiny_net()
    net.to_device(device)
    return net


def contenders(net):
    """The network and its compiled forms on the engine that is always there."""
    net.initialise(SHAPE)
    return benchmark.Contenders.of(net, "arrays")


@pytest.fixture(autouse=True)
def small_budget(monkeypatch):
    monkeypatch.setattr(benchmark, "BUDGET_S", 0.1)
    monkeypatch.setattr(benchmark, "MIN_SAMPLES", 5)


def test_paths_answer_like_the_reference(net):
    x, labels = tiny_batch(20)
    threshold = float(np.median(record_exits(net, x, labels).scores[0]))
    answers = run(net, x, [threshold, 0.0])
    branchy = benchmark.compiled_path(contenders(net).compiled, (threshold, 0.0))
    trunk = benchmark.trunk_path(net, [threshold, 0.0], Clock(net.device))
    chainer_plain, plain = benchmark.chainer_path(net), benchmark.compiled_path(contenders(net).plain, ())
    last = to_host(run(net, x, 0.0).labels)
    with benchmark.inference_mode():
        for i in range(20):
            sample = x[i : i + 1]
            assert branchy(sample) == (answers.labels[i], answers.exits[i])
            assert trunk(sample)[1] == answers.exits[i]
            assert chainer_plain(sample) == plain(sample)[0] == last[i]


def test_every_path_is_timed_on_the_same_samples(net):
    costs = benchmark.path_costs(contenders(net), tiny_batch(30)[0])
    n_samples = len(costs.baseline_ms)
    assert 5 <= n_samples <= 30
    assert costs.end_to_end_ms.shape == costs.paper_clock_ms.shape == (3, n_samples)
    assert costs.chainer_ms.shape == (n_samples,)
    assert (costs.baseline_ms > 0).all()


def test_the_papers_clock_leaves_the_branches_out(net):
    """A clock that counts its readings shows it: two readings for each stage of the trunk, none for a branch."""

    class CountingClock:
        n_readings = 0

        def now_ms(self):
            self.n_readings += 1
            return float(self.n_readings)

    x = tiny_batch(1)[0]
    for exit_index in range(3):
        clock = CountingClock()
        thresholds = [np.inf if n == exit_index else 0.0 for n in range(2)]
        with benchmark.inference_mode():
            trunk_ms, left_at = benchmark.trunk_path(net, thresholds, clock)(x)
        assert (left_at, trunk_ms, clock.n_readings) == (exit_index, exit_index + 1, 2 * (exit_index + 1))


def test_a_measurement_reports_both_clocks_with_intervals(net):
    summary = benchmark.measure(contenders(net), tiny_batch(30)[0], 1.0).summary()
    assert summary["n_samples_timed"] >= 5
    for name in ("chainer_ms", "baseline_ms", "end_to_end_ms", "paper_clock_ms"):
        assert set(summary[name]) == {"mean", "p50", "p90", "p99"}
    for name in ("end_to_end_gain", "gain_over_chainer", "paper_clock_gain"):
        assert summary[name]["low"] <= summary[name]["value"] <= summary[name]["high"]


def test_a_timed_path_that_answers_otherwise_is_found_out(net, monkeypatch):
    monkeypatch.setattr(benchmark, "compiled_path", lambda compiled, thresholds: lambda x: (7, 0))
    with pytest.raises(RuntimeError, match="answers differ from those of the reference path"):
        benchmark.measure(contenders(net), tiny_batch(30)[0], 1.0)


def test_the_exits_of_several_compiled_networks_are_timed_on_the_same_samples(net):
    compiled = contenders(net).compiled
    times = benchmark.exit_times({"one": compiled, "two": compiled}, tiny_batch(30)[0])
    assert set(times) == {"one", "two"}
    assert times["one"].shape == times["two"].shape and times["one"].shape[0] == 3
    assert 5 <= times["one"].shape[1] <= 30 and (times["one"] > 0).all()
    no_time = benchmark.exit_times({"one": compiled}, tiny_batch(30)[0], budget_s=0)
    assert no_time["one"].shape == (3, 5), "never fewer than the least that a mean takes"

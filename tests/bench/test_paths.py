"""The plain network against early exit: what is inside which clock, and that the timed answers are the true ones."""

import dataclasses

import chainer
import chainer.links as L
import numpy as np
import pytest
from fake_clock import FakeClock, Slow
from tiny import N_CLASSES, SHAPE, between, drawn_net, moved, state_of, tiny_batch

from branchynet import Branch, run
from branchynet.bench import paths
from branchynet.functions import plain_chainer
from branchynet.inference import compile_net, record_exits
from branchynet.links import Convolution2D
from branchynet.machine.devices import to_host


@pytest.fixture
def contenders(net):
    """The network and its compiled forms on the engine that is always there."""
    return paths.Contenders.of(net, "arrays")


@pytest.fixture
def clock(monkeypatch):
    """Every Chainer function takes 1 ms, and nothing else takes time by itself."""
    clock = FakeClock()
    monkeypatch.setattr(paths, "Clock", lambda device: clock)
    with clock:
        yield clock


@pytest.fixture
def slow(contenders, clock):
    """Contenders that take 2 ms with early exits and 3 ms without, compiled."""
    return paths.Contenders(contenders.net, Slow(contenders.compiled, clock, 2), Slow(contenders.plain, clock, 3))


def functions_in(layers, x, clock):
    """The number of functions that Chainer computes for some layers, and what comes out."""
    before = clock.ms
    with plain_chainer(), chainer.using_config("train", False), chainer.no_backprop_mode():
        y = layers(x)
    return clock.ms - before, y


def test_paths_answer_like_the_reference(net, contenders):
    x, labels = tiny_batch(20)
    thresholds = (between(record_exits(net, x, labels).scores[0], 0.5), 0.0)
    answers, last = run(net, x, thresholds), to_host(run(net, x, 0.0).labels)
    for batch_size in (1, 7):
        batch = x[:batch_size]
        expected = [to_host(answers.labels)[:batch_size].tolist(), to_host(answers.exits)[:batch_size].tolist()]
        assert np.array(paths.compiled_path(contenders.compiled, thresholds)(batch)).tolist() == expected
        assert np.array(paths.reference_path(net, thresholds)(batch)).tolist() == expected
        assert paths.compiled_path(contenders.plain, ())(batch)[0].tolist() == last[:batch_size].tolist()
        assert paths.chainer_path(net)(batch).tolist() == last[:batch_size].tolist()
    assert set(to_host(answers.exits).tolist()) == {0, 2}


def test_no_path_changes_the_network_wherever_it_is_called():
    def build():
        layers = [Convolution2D(1, 2, 3), L.BatchNormalization(2), Branch([L.Linear(None, N_CLASSES)])]
        return [*layers, L.BatchNormalization(2), Branch([L.Linear(None, N_CLASSES)])]

    net, (x, _) = drawn_net(build, SHAPE), tiny_batch(9)
    expected = run(net, x, 0.0).labels.tolist()
    before = state_of(net)
    for _ in range(2):
        assert paths.chainer_path(net)(x).tolist() == expected
        assert paths.reference_path(net, 0.0)(x)[0].tolist() == expected
        assert len(paths.trunk_path(net, FakeClock())(x[:1])) == 2
    assert moved(before, state_of(net)) == set()


def test_every_path_costs_what_is_computed_on_it_and_nothing_is_computed_twice(slow, clock):
    costs = paths.path_costs(slow, tiny_batch(30)[0], budget_s=1)
    in_trunk, x = [], slow.net.device.send(tiny_batch(1)[0])
    plain, _ = functions_in(slow.net.plain(), x, clock)
    for stage, _ in slow.net.stages():
        n_functions, x = functions_in(stage, x, clock)
        in_trunk.append(n_functions)
    ones = np.ones(30)
    np.testing.assert_array_equal(costs.plain_chainer_ms, plain * ones)
    np.testing.assert_array_equal(costs.plain_ms, 3 * ones)
    np.testing.assert_array_equal(costs.end_to_end_ms, 2 * np.ones((3, 30)))
    np.testing.assert_array_equal(costs.paper_clock_ms, np.cumsum(in_trunk)[:, None] * ones)
    np.testing.assert_array_equal(costs.exits, np.arange(3)[:, None] * ones)
    np.testing.assert_array_equal(costs.processes, 0 * ones)


def test_a_measurement_reports_both_clocks_and_gains_over_both_baselines(slow):
    measured = paths.measure(slow, tiny_batch(30)[0], [1.0], budget_s=1)
    summary, chainer_ms = measured.summary(), measured.plain_chainer_ms[0]
    assert summary["n_samples_timed"] == 30 and chainer_ms > 3
    np.testing.assert_allclose(summary["timed_exit_pct"], np.bincount(measured.exits[0], minlength=3) / 0.3)
    assert summary["plain_ms"] == {"mean": 3, "p50": 3, "p90": 3, "p99": 3}
    assert summary["end_to_end_ms"]["mean"] == 2 and summary["plain_chainer_ms"]["mean"] == chainer_ms
    until_exits = paths.path_costs(slow, tiny_batch(1)[0]).paper_clock_ms[:, 0]
    np.testing.assert_array_equal(measured.paper_clock_ms, until_exits[measured.exits])
    assert summary["paper_clock_ms"]["mean"] == measured.paper_clock_ms.mean()
    assert summary["end_to_end_gain"] == {"value": 1.5, "low": 1.5, "high": 1.5}
    assert summary["gain_over_chainer"]["value"] == chainer_ms / 2
    gain = summary["paper_clock_gain"]
    assert gain["value"] == pytest.approx(chainer_ms / measured.paper_clock_ms.mean())
    assert gain["low"] < gain["value"] < gain["high"], "some leave early, some late"


def test_what_several_processes_timed_is_put_one_behind_another_and_numbered(slow):
    parts = [paths.path_costs(slow, tiny_batch(n)[0], budget_s=1) for n in (5, 2)]
    pooled = paths.PathCosts.pooled(parts)
    assert pooled.processes.tolist() == [0] * 5 + [1] * 2 and pooled.plain_ms.tolist() == [3] * 7
    np.testing.assert_array_equal(pooled.labels, np.concatenate([part.labels for part in parts], axis=1))
    assert pooled.summary()["n_processes_timed"] == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        pooled.plain_ms = None


def test_shares_are_of_as_many_exits_as_there_are_or_were_taken(slow):
    costs = paths.path_costs(slow, tiny_batch(5)[0], budget_s=1)
    assert costs.summary()["timed_exit_pct"] == [100] and costs.summary(1)["timed_exit_pct"] == [0, 100]
    assert costs.summary(0, n_exits=3)["timed_exit_pct"] == [100, 0, 0]


def test_a_timed_path_that_answers_otherwise_is_found_out(contenders):
    class Wrong(Slow):
        def run(self, x, thresholds):
            answers = super().run(x, thresholds)
            return answers._replace(labels=(answers.labels + 1) % 3)

    wrong = contenders._replace(compiled=Wrong(contenders.compiled, FakeClock(), 0))
    with pytest.raises(RuntimeError, match="30 of 30 answers differ from those of the reference path"):
        paths.measure(wrong, tiny_batch(30)[0], [1.0], budget_s=0.01)


def test_the_exits_of_several_compiled_networks_are_timed_on_the_same_samples(contenders, clock):
    compiled = {name: Slow(contenders.compiled, clock, ms) for name, ms in (("one", 2), ("two", 5))}
    times = paths.exit_times(compiled, tiny_batch(30)[0], budget_s=1)
    np.testing.assert_array_equal(times["one"], np.full((3, 30), 2))
    np.testing.assert_array_equal(times["two"], np.full((3, 30), 5))


def test_batches_are_whole_and_as_many_as_fit_the_budget_in_four_turns_or_more(device, clock):
    turns, x = [], tiny_batch(50)[0]

    def answer(name):
        return lambda batch: turns.append(name) or batch.shape

    timed = {name: clock.spending(10, answer(name)) for name in "ab"}
    batches = paths.batches_of(x, 6)
    results = paths.time_batches(timed, batches, device, budget_s=0.16, at_least=3)
    assert results["a"][1] == [(6, *SHAPE)] * 8 and results["b"][0].tolist() == [10] * 8
    n_changes = sum(one != other for one, other in zip(turns, turns[1:]))
    assert n_changes == 6, "trial, warm-up and four blocks, every other one in the other order"
    turns.clear()
    assert len(paths.time_batches(timed, batches, device, budget_s=0.001, at_least=3)["a"][0]) == 3
    assert sum(one != other for one, other in zip(turns, turns[1:])) == 5, "trial, warm-up and three blocks"


@pytest.mark.parametrize(("ms", "n_timed"), [(10, 2000), (1000, 100), (1, 10_000)])
def test_the_budget_is_twenty_seconds_for_a_hundred_samples_at_least_and_ten_thousand_at_most(
    device, clock, ms, n_timed
):
    results = paths.time_paths({"a": clock.spending(ms)}, np.zeros((10_500, 1), np.float32), device)
    assert len(results["a"][0]) == n_timed


@pytest.mark.parametrize(
    ("batch_size", "at_least", "n_batches"), [(1, 1, 5), (2, 1, 2), (2, 4, 4), (5, 1, 1), (13, 3, 3)]
)
def test_batches_follow_each_other_and_from_the_first_sample_again(device, batch_size, at_least, n_batches):
    batches = paths.batches_of(device.xp.arange(5), batch_size, at_least)
    places = [int(place) for batch in batches for place in batch]
    assert [len(batch) for batch in batches] == [batch_size] * n_batches
    assert places == [place % 5 for place in range(batch_size * n_batches)]


def test_where_the_samples_suffice_batches_are_views_of_them():
    samples = np.arange(6)
    assert [batch.tolist() for batch in paths.batches_of(samples, 6)] == [samples.tolist()]
    assert all(np.shares_memory(batch, samples) for batch in paths.batches_of(samples, 2))


def test_answers_are_where_the_batch_is(net, device):
    compiled = compile_net(net, engine="arrays", device=device.name)
    x = tiny_batch(6)[0]
    answer = {
        "chainer": lambda x: (paths.chainer_path(net)(x),),
        "reference": paths.reference_path(net, (1.0, 1.0)),
        "compiled": paths.compiled_path(compiled, (1.0, 1.0)),
    }
    for batch, kind in ((x, np.ndarray), (device.send(x), device.xp.ndarray)):
        assert {type(array) for name in answer for array in answer[name](batch)} == {kind}

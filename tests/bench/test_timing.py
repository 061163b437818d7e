"""Latencies and their statistics; no test asserts a time, but for a clock that the test itself puts forward."""

import contextlib
import dataclasses
import gc

import numpy as np
import pytest
from fake_clock import FakeClock

from branchynet.bench.timing import Clock, Contender, gain, latency_summary, n_within_budget, time_interleaved
from branchynet.machine.devices import get_device
from branchynet.machine.workers import Workers


def test_the_clock_goes_forward(device):
    clock = Clock(device)
    first = clock.now_ms()
    assert clock.now_ms() >= first


def test_it_counts_milliseconds(monkeypatch):
    readings = iter([5_000_000, 12_500_000])
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(readings))
    clock = Clock(get_device("cpu"))
    assert [clock.now_ms(), clock.now_ms()] == [5, 12.5]


def test_contenders_take_turns_and_are_warmed_up():
    calls = []
    contenders = {
        "a": Contender(lambda x: calls.append(("a", x)) or x),
        "b": Contender(lambda x: calls.append(("b", x)) or -x),
    }
    results = time_interleaved(contenders, [1, 2, 3], FakeClock(), warm_up=1, block=2)
    warm_up = [("b", 1), ("a", 1)]
    first = [("a", 1), ("a", 2), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 1), ("b", 2)]
    second = [("b", 3), ("b", 3), ("a", 3), ("a", 3)]
    assert calls == warm_up + first + second, "two of each block are not timed; the order is reversed every time"
    assert results["a"][1] == [1, 2, 3] and results["b"][1] == [-1, -2, -3]


def test_what_is_measured_is_each_contenders_own_time():
    clock, turns = FakeClock(), []

    @contextlib.contextmanager
    def slow_context():
        clock.ms += 100
        yield turns.append("begun")
        clock.ms += 100
        turns.append("over")

    fast, slow = clock.spending(2), clock.spending(3)
    contenders = {"fast": Contender(fast), "slow": Contender(slow, slow_context)}
    results = time_interleaved(contenders, range(7), clock, warm_up=1, block=3, settle=1)
    np.testing.assert_array_equal(results["fast"][0], [2] * 7)
    np.testing.assert_array_equal(results["slow"][0], [3] * 7, "a context is around a turn, not in the time")
    assert turns == ["begun", "over"] * 4, "warm-up and three blocks"
    found = gain(results["slow"][0], results["fast"][0])
    assert found == pytest.approx({"value": 1.5, "low": 1.5, "high": 1.5})
    twice = {"fast": Contender(fast), "slow": Contender(lambda x: slow(slow(x)))}
    assert time_interleaved(twice, range(7), clock)["slow"][0].tolist() == [6] * 7


def test_warm_up_and_the_first_two_of_each_turn_are_answered_once_more_than_timed():
    calls = []
    results = time_interleaved({"a": Contender(calls.append)}, range(30), FakeClock())
    assert calls == [*range(20), 0, 1, *range(25), 25, 26, *range(25, 30)] and len(results["a"][0]) == 30


def test_a_turn_is_warmed_up_for_so_many_milliseconds_by_samples_of_all_turns():
    calls, clock = [], FakeClock()
    contenders = {"a": Contender(clock.spending(2, calls.append)), "all": Contender(clock.spending(2), by_all=True)}
    results = time_interleaved(contenders, range(4), clock, warm_up=0, block=2, settle=1, settle_ms=5.0)
    assert calls == [0, 1, 2, *[0, 3, 0, 1], *[0, 1], *[2, 2, 3, 0], *[2, 3]], "each time for 6 ms, as steps are of 2"
    assert [len(latency_ms) for latency_ms, _ in results.values()] == [4, 4]
    assert clock.ms == 2 * (len(calls) + 2 * 3), "those by all answer one untimed and two timed ones a turn"


def test_a_contender_stays_what_it_was_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Contender(str).by_all = True


@pytest.mark.parametrize("is_first", [True, False])
def test_a_worker_that_is_not_the_first_only_waits_unless_all_take_part(is_first):
    events = []

    class OneOfTwo(Workers):
        def wait(self):
            events.append("wait")

    workers = OneOfTwo()
    workers.rank, workers.size = 1 - is_first, 2
    contenders = {"alone": Contender(events.append), "all": Contender(lambda x: events.append(f"all {x}"), by_all=True)}
    results = time_interleaved(contenders, "xy", FakeClock(), warm_up=0, block=1, settle=0, workers=workers)
    x, y = (["x"], ["y"]) if is_first else ([], [])
    warm_up = ["wait", "wait"]
    assert events == [*warm_up, *x, "wait", "all x", "wait", "all y", "wait", *y, "wait"]
    assert {name: len(latency_ms) for name, (latency_ms, _) in results.items()} == {"alone": 2 * is_first, "all": 2}


@pytest.mark.parametrize(("budget_s", "n_samples"), [(1.0, 200), (0.1, 20), (0, 10), (9.0, 300)])
def test_as_many_samples_are_timed_as_fit_the_budget(budget_s, n_samples):
    clock = FakeClock()
    contenders = {"a": Contender(clock.spending(2)), "b": Contender(clock.spending(3))}
    assert n_within_budget(contenders, range(1000), clock, budget_s, 10, 300) == n_samples
    assert n_within_budget(contenders, range(5), clock, budget_s, 10, 300) == 5, "there are no more"


def test_three_samples_tell_how_many_fit_after_one_that_is_not_timed():
    calls, clock = [], FakeClock()
    assert n_within_budget({"a": Contender(clock.spending(2, calls.append))}, range(9), clock, 0.01, 1, 9) == 5
    assert calls == [0, 0, 1, 2]


def test_a_summary_is_mean_and_percentiles():
    assert latency_summary(np.arange(101.0)) == {"mean": 50, "p50": 50, "p90": 90, "p99": 99}
    assert latency_summary([]) == {}


def test_the_gain_is_the_ratio_of_the_means_with_an_interval_around_it(rng):
    baseline, branchy = rng.gamma(4, 2, 500), rng.gamma(4, 1, 500)
    result = gain(baseline, branchy)
    assert result["value"] == pytest.approx(baseline.mean() / branchy.mean())
    assert result["low"] < result["value"] < result["high"]
    assert gain(baseline, branchy) == result
    by_median = gain(baseline, branchy, statistic=np.median)
    assert by_median["value"] == pytest.approx(np.median(baseline) / np.median(branchy))


def test_the_interval_holds_the_middle_95_percent_of_2000_resamples(rng):
    baseline, branchy = rng.gamma(4, 2, 30), rng.gamma(4, 1, 30)
    resamples = np.random.default_rng(0).integers(30, size=(2000, 30))
    ratios = [baseline[rows].mean() / branchy[rows].mean() for rows in resamples]
    found = gain(baseline, branchy)
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(ratios, (2.5, 97.5))), rel=1e-12)


def test_a_resample_keeps_pairs_together(rng):
    """Where every sample is twice as fast there is no doubt, however much the samples differ."""
    branchy_ms = rng.gamma(1, 1, 50)
    np.testing.assert_allclose(list(gain(2 * branchy_ms, branchy_ms).values()), 2)


def test_a_resample_takes_whole_blocks(rng):
    """To measure the same three times is to know no more."""
    baseline, branchy = rng.gamma(4, 2, (2, 40))
    once, thrice = gain(baseline, branchy), gain(baseline.repeat(3), branchy.repeat(3), block=3)
    assert thrice == pytest.approx(once)
    as_if_independent = gain(baseline.repeat(3), branchy.repeat(3))
    width, too_small = (found["high"] - found["low"] for found in (thrice, as_if_independent))
    assert width > 1.5 * too_small


@pytest.mark.parametrize(
    ("ratios", "half_width"),
    [
        ([2.0, 3.0, 4.5], 4.302653 * np.log(1.5) / np.sqrt(3)),  # t of 2 degrees of freedom
        ([2.0, 3.0], 12.706205 * np.log(1.5) / 2),  # of 1; the standard error of two numbers is half their distance
    ],
)
def test_the_interval_has_a_term_between_processes(ratios, half_width):
    """Student's interval of the logarithms of the processes' ratios, by hand."""
    processes = np.repeat(np.arange(len(ratios)), 10)
    found = gain(np.array(ratios)[processes], np.ones(len(processes)), processes=processes)
    assert found["value"] == pytest.approx(np.mean(ratios))
    assert np.log(found["high"] / found["value"]) == pytest.approx(half_width, rel=1e-5)
    assert np.log(found["value"] / found["low"]) == pytest.approx(half_width, rel=1e-5)


def test_of_one_process_the_interval_is_that_of_its_samples(rng):
    baseline, branchy = rng.gamma(4, 2, 500), rng.gamma(4, 1, 500)
    assert gain(baseline, branchy, processes=np.zeros(500, int)) == gain(baseline, branchy)


@pytest.mark.parametrize("spread", [0, 0.2])
def test_the_interval_over_processes_covers_the_truth_as_often_as_it_says(spread):
    rng, processes, covered = np.random.default_rng(2), np.repeat(np.arange(5), 40), 0
    for _ in range(400):
        slower = np.exp(spread * rng.normal(size=5))[processes]
        own, other = rng.gamma(50, 1 / 50, (2, 200))
        found = gain(2 * slower * own, other, processes=processes)
        covered += found["low"] <= 2 * np.exp(spread**2 / 2) <= found["high"]
    assert 0.91 <= covered / 400 <= 0.98


def coverage(n_blocks, repeats=1, **options):
    """How often the interval covers the true ratio 2, where one noise slows both down and each has one of its own."""
    rng, covered = np.random.default_rng(1), 0
    for trial in range(400):
        shared, own, other = rng.gamma(9, 1 / 9, (3, n_blocks))
        baseline, branchy = (2 * shared * own).repeat(repeats), (shared * other).repeat(repeats)
        found = gain(baseline, branchy, n_resamples=200, seed=trial, **options)
        covered += found["low"] <= 2 <= found["high"]
    return covered / 400


def test_the_interval_covers_the_truth_as_often_as_it_says():
    assert 0.91 <= coverage(60) <= 0.98 and 0.91 <= coverage(20) <= 0.98
    assert 0.91 <= coverage(3) <= 0.98, "as few large batches; a bootstrap of three would cover about 73 %"
    assert 0.91 <= coverage(60, repeats=3, block=3) <= 0.98
    # What this test would find out: another level, and measurements that are taken as independent.
    assert coverage(60, level=0.86) < 0.91 and coverage(60, repeats=3) < 0.91


@pytest.mark.parametrize("is_on", [True, False])
def test_the_garbage_collector_is_held_off_while_samples_are_timed_and_then_as_before(is_on):
    seen, was_on = [], gc.isenabled()

    def answer(sample):
        seen.append(gc.isenabled())
        if len(seen) == 4:
            raise KeyError

    (gc.enable if is_on else gc.disable)()
    try:
        with pytest.raises(KeyError):
            time_interleaved({"one": Contender(answer)}, [1, 2], FakeClock(), warm_up=1, settle=1)
        assert seen == [is_on, is_on, False, False] and gc.isenabled() is is_on
    finally:
        (gc.enable if was_on else gc.disable)()

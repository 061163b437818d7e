"""Latencies and their statistics; no test asserts a time."""

import contextlib

import numpy as np
import pytest

from branchynet.bench.timing import Clock, Contender, gain, latency_summary, n_within_budget, time_interleaved
from branchynet.machine.devices import get_device
from branchynet.machine.workers import Workers

CPU = get_device("cpu")


class CountedClock:
    """A clock that only the contenders move on."""

    ms = 0.0

    def now_ms(self):
        return self.ms

    def contender(self, ms):
        """A contender that takes so many milliseconds for each sample."""

        def answer(x):
            self.ms += ms

        return Contender(answer)


def test_the_clock_goes_forward(device):
    clock = Clock(device)
    first = clock.now_ms()
    assert clock.now_ms() >= first


def test_contenders_take_turns_and_are_warmed_up():
    calls = []
    contenders = {
        "a": Contender(lambda x: calls.append(("a", x)) or x),
        "b": Contender(lambda x: calls.append(("b", x)) or -x),
    }
    results = time_interleaved(contenders, [1, 2, 3], Clock(CPU), warm_up=1, block=2)
    overall = [("b", 1), ("a", 1)]
    first = [("a", 1), ("a", 2), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 1), ("b", 2)]
    second = [("b", 3), ("b", 3), ("a", 3), ("a", 3)]
    assert calls == overall + first + second, "two of each block are not timed; the order is reversed in the second"
    assert results["a"][1] == [1, 2, 3] and results["b"][1] == [-1, -2, -3]
    assert results["a"][0].shape == (3,) and (results["a"][0] >= 0).all()


def test_a_contender_takes_its_turns_in_its_own_context():
    inside = []

    @contextlib.contextmanager
    def context():
        inside.append("begin")
        yield
        inside.append("end")

    contender = Contender(inside.append, context)
    time_interleaved({"a": contender}, "xy", Clock(CPU), warm_up=0, block=1, settle=0)
    assert inside == ["begin", "end", "begin", "x", "end", "begin", "y", "end"], "the warm-up is a turn as well"


def test_a_worker_that_is_not_the_first_waits_while_others_compute_alone():
    workers = Workers()
    workers.rank, workers.size = 1, 2
    workers.wait = lambda: None
    contenders = {"alone": Contender(lambda x: x), "together": Contender(lambda x: x, by_all=True)}
    results = time_interleaved(contenders, [1, 2], Clock(CPU), workers=workers)
    assert results["together"][1] == [1, 2] and results["alone"][1] == []


def test_only_what_is_slower_is_found_slower():
    clock = CountedClock()
    contenders = {"as it was": clock.contender(2.0), "twice as slow": clock.contender(4.0)}
    results = time_interleaved(contenders, range(50), clock)
    assert gain(results["twice as slow"][0], results["as it was"][0]) == {"value": 2.0, "low": 2.0, "high": 2.0}


@pytest.mark.parametrize(("budget_s", "expected"), [(0.06, 20), (0, 5), (60, 40)])
def test_the_number_of_samples_follows_from_the_budget(budget_s, expected):
    clock = CountedClock()
    contenders = {"a": clock.contender(1.0), "b": clock.contender(2.0)}
    assert n_within_budget(contenders, range(100), clock, budget_s, 5, 40) == expected
    assert n_within_budget(contenders, range(4), clock, budget_s, 5, 40) == 4, "there are no more"


def test_a_summary_is_mean_and_percentiles():
    assert latency_summary(np.arange(101.0)) == {"mean": 50, "p50": 50, "p90": 90, "p99": 99}
    assert latency_summary([]) == {}


def test_the_gain_is_the_ratio_of_the_means_with_an_interval_around_it(rng):
    baseline, branchy = rng.gamma(4, 2, 500), rng.gamma(4, 1, 500)
    result = gain(baseline, branchy)
    assert result["value"] == pytest.approx(baseline.mean() / branchy.mean())
    assert result["low"] < result["value"] < result["high"]
    assert gain(baseline, branchy) == result
    assert gain(baseline, branchy, statistic=np.median)["value"] == np.median(baseline) / np.median(branchy)


def test_the_interval_covers_the_truth_as_often_as_it_says(rng):
    """2,000 draws of latencies whose true ratio is 2; three standard errors of the count, and a percent that the
    percentile method may err at this N, are allowed."""
    n_trials, covered = 2000, 0
    for trial in range(n_trials):
        result = gain(rng.gamma(4, 2, 200), rng.gamma(4, 1, 200), n_resamples=200, seed=trial)
        covered += result["low"] <= 2 <= result["high"]
    assert covered / n_trials == pytest.approx(0.95, abs=0.01 + 3 * np.sqrt(0.95 * 0.05 / n_trials))


def test_pairs_stay_together(rng):
    """A drift that touches both alike leaves no doubt about their ratio."""
    drifting = rng.gamma(1, 1, 200)
    result = gain(3 * drifting, drifting)
    assert result["low"] == pytest.approx(3) and result["high"] == pytest.approx(3)


def test_measurements_that_depend_on_each_other_widen_the_interval(rng):
    of_turns = rng.gamma(4, 1, 20).repeat(10)
    widths = [(result := gain(np.ones(200), of_turns, block=block))["high"] - result["low"] for block in (1, 10)]
    assert widths[1] > 2 * widths[0]


def test_constant_latencies_leave_no_doubt():
    assert gain(np.full(10, 3.0), np.full(10, 2.0)) == {"value": 1.5, "low": 1.5, "high": 1.5}

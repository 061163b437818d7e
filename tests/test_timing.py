"""Latencies and their statistics; no test asserts a time."""

import chainer
import numpy as np
import pytest

from branchynet.timing import Clock, gain, latency_summary, time_interleaved


def test_the_clock_goes_forward(device):
    clock = Clock(device)
    first = clock.now_ms()
    assert clock.now_ms() >= first


def test_contenders_take_turns_and_are_warmed_up():
    calls = []
    contenders = {"a": lambda x: calls.append(("a", x)) or x, "b": lambda x: calls.append(("b", x)) or -x}
    results = time_interleaved(contenders, [1, 2, 3], Clock(chainer.get_device("@numpy")), warm_up=1, block=2)
    overall = [("a", 1), ("b", 1)]
    first = [("a", 1), ("a", 2), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 1), ("b", 2)]
    second = [("b", 3), ("b", 3), ("a", 3), ("a", 3)]
    assert calls == overall + first + second, "two of each block are not timed; the order is reversed in the second"
    assert results["a"][1] == [1, 2, 3] and results["b"][1] == [-1, -2, -3]
    assert results["a"][0].shape == (3,) and (results["a"][0] >= 0).all()


def test_a_summary_is_mean_and_percentiles():
    assert latency_summary(np.arange(101.0)) == {"mean": 50, "p50": 50, "p90": 90, "p99": 99}
    assert latency_summary([]) == {}


def test_the_gain_is_the_ratio_of_the_means_with_an_interval_around_it(rng):
    baseline, branchy = rng.gamma(4, 2, 500), rng.gamma(4, 1, 500)
    result = gain(baseline, branchy)
    assert result["value"] == pytest.approx(baseline.mean() / branchy.mean())
    assert result["low"] < result["value"] < result["high"]
    assert gain(baseline, branchy) == result


def test_the_interval_covers_the_truth_about_as_often_as_it_says(rng):
    covered = 0
    for trial in range(100):
        result = gain(rng.gamma(4, 2, 200), rng.gamma(4, 1, 200), n_resamples=200, seed=trial)
        covered += result["low"] <= 2 <= result["high"]
    assert 85 <= covered <= 100


def test_constant_latencies_leave_no_doubt():
    assert gain(np.full(10, 3.0), np.full(10, 2.0)) == {"value": 1.5, "low": 1.5, "high": 1.5}

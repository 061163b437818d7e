"""Latency, measured honestly: a synchronised clock, interleaved contenders, percentiles, intervals of ratios.

One query at a time (the SingleStream scenario of MLPerf Inference, arXiv 1911.02549): a contender takes one sample
and answers before the next one comes.
"""

from __future__ import annotations

import time

import numpy as np

from branchynet.devices import synchronise


class Clock:
    """Milliseconds between two readings, with all work on the device done at both.

    Args:
        device: chainer device whose work is timed.
    """

    def __init__(self, device):
        self.device = device

    def now_ms(self) -> float:
        """Milliseconds since some moment, after the device has finished what it was given."""
        synchronise(self.device)
        return time.perf_counter_ns() / 1e6


def time_interleaved(contenders, samples, clock, warm_up=20, block=25) -> dict:
    """Times several ways of answering on the same samples, taking turns, so that a drift of the machine's speed
    touches all alike.

    A turn is a block of samples, after two that are not timed: a contender runs with its own code and weights in the
    caches, as it would where it is deployed, not with those of the one before it. The order of the contenders is
    reversed on every other block (A B B A ...).

    Args:
        contenders: {name: function of one sample}.
        samples: sequence of samples.
        clock: `Clock`.
        warm_up: samples that every contender answers before the first block.
        block: samples of a turn.

    Returns:
        {name: (latency_ms (n_samples,) float64, answers, a list)}
    """
    names = list(contenders)
    for sample in samples[:warm_up]:
        for name in names:
            contenders[name](sample)
    times = {name: np.empty(len(samples)) for name in names}
    answers = {name: [] for name in names}
    for number, start in enumerate(range(0, len(samples), block)):
        for name in names if number % 2 == 0 else reversed(names):
            answer = contenders[name]
            for sample in samples[start : start + 2]:
                answer(sample)
            for index, sample in enumerate(samples[start : start + block], start):
                start_ms = clock.now_ms()
                result = answer(sample)
                times[name][index] = clock.now_ms() - start_ms
                answers[name].append(result)
    return {name: (times[name], answers[name]) for name in names}


def latency_summary(latency_ms) -> dict:
    """Mean (the paper's figure), median, 90th and 99th percentile of latencies, in ms; empty dict for no latency."""
    if len(latency_ms) == 0:
        return {}
    p50, p90, p99 = np.percentile(latency_ms, (50, 90, 99))
    return {"mean": float(np.mean(latency_ms)), "p50": float(p50), "p90": float(p90), "p99": float(p99)}


def gain(baseline_ms, branchy_ms, n_resamples=2000, level=0.95, seed=0, statistic=np.mean) -> dict:
    """How many times faster: the ratio of the mean latencies, with a bootstrap interval (percentile method; Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Args:
        baseline_ms, branchy_ms: (N,) latencies of the same samples; a resample keeps the pairs together.
        n_resamples: bootstrap resamples.
        level: coverage of the interval.
        seed: of the resampling.
        statistic: what is compared; the mean, as in the paper, or `np.median`, which an interrupted run does not move.

    Returns:
        {"value": ratio, "low": lower end, "high": upper end}
    """
    baseline_ms, branchy_ms = np.asarray(baseline_ms), np.asarray(branchy_ms)
    rng = np.random.default_rng(seed)
    n_samples = len(baseline_ms)
    ratios = np.empty(n_resamples)
    for index in range(n_resamples):
        rows = rng.integers(n_samples, size=n_samples)
        ratios[index] = statistic(baseline_ms[rows]) / statistic(branchy_ms[rows])
    low, high = np.percentile(ratios, (50 * (1 - level), 50 * (1 + level)))
    return {"value": float(statistic(baseline_ms) / statistic(branchy_ms)), "low": float(low), "high": float(high)}

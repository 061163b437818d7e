"""Latency, measured honestly: a synchronised clock, contenders that take turns, percentiles, intervals of ratios.

One query at a time (the SingleStream scenario of MLPerf Inference, arXiv 1911.02549): a contender takes one sample
and answers before the next one comes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import time
import typing

import numpy as np

from branchynet.machine.devices import synchronise
from branchynet.machine.workers import Workers

# Of fewer measurements a bootstrap is too narrow.
_FEW = 20


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


@dataclasses.dataclass(frozen=True)
class Contender:
    """One of several ways of doing the same work.

    Attributes:
        answer: function of one sample. In training a sample is a batch, and the answer is a step.
        context: () -> context manager around each of its turns: the threads that it may compute with, for instance.
        by_all: whether all workers take part; if not, the first one computes, and the others wait.
    """

    answer: typing.Callable
    context: typing.Callable = contextlib.nullcontext
    by_all: bool = False


def time_interleaved(contenders, samples, clock, warm_up=20, block=25, settle=2, settle_ms=0.0, workers=None) -> dict:
    """Times several ways of doing the same work, in turn, so that a drift of the machine's speed touches all alike.

    A turn is a block of samples. Its first samples are answered once more before it, untimed: a contender then runs
    with its own code and weights in the caches, as it would where it is deployed, and the threads of the one before it
    have come to rest. The order of the contenders is reversed on every other block (A B B A ...).

    Args:
        contenders: {name: `Contender`}.
        samples: sequence of samples.
        clock: `Clock`.
        warm_up: samples that every contender answers, untimed, before the first block.
        block: samples of a turn.
        settle: untimed samples of a turn.
        settle_ms: milliseconds for more of them, taken from all samples in turn; not for contenders by all workers,
            which have to answer equally many.
        workers: `branchynet.machine.workers.Workers` that run this together; by default this process alone.

    Returns:
        {name: (latency_ms (n_samples,) float64, answers, a list)}; where a worker only waited, both are empty.
    """
    workers = workers or Workers()
    blocks = [samples[start : start + block] for start in range(0, len(samples), block)]
    turns = [(samples[:warm_up], ()), *((part[:settle], part) for part in blocks)]
    results, others = {name: ([], []) for name in contenders}, itertools.cycle(samples)
    for number, (untimed, timed) in enumerate(turns):
        for name in results if number % 2 else reversed(results):
            if contenders[name].by_all or workers.is_first:
                more_ms = 0.0 if contenders[name].by_all else settle_ms
                latency_ms, answers = _take_turn(contenders[name], untimed, timed, clock, others, more_ms)
                results[name][0].extend(latency_ms), results[name][1].extend(answers)
            workers.wait()
    return {name: (np.array(latency_ms), answers) for name, (latency_ms, answers) in results.items()}


def n_within_budget(contenders, samples, clock, budget_s, at_least, at_most) -> int:
    """How many of the samples all contenders together answer in so many seconds, as three of them tell.

    Args:
        contenders, samples, clock: as of `time_interleaved`.
        budget_s: seconds.
        at_least, at_most: bounds of the number; there are never more than the samples given.
    """
    trial = samples[:3]
    spent_ms = sum(sum(_take_turn(contender, trial[:1], trial, clock)[0]) for contender in contenders.values())
    return min(int(np.clip(1e3 * budget_s * len(trial) / spent_ms, at_least, at_most)), len(samples))


def _take_turn(contender, untimed, timed, clock, others=(), settle_ms=0.0):
    """(latencies in ms, answers) of the timed samples; others: untimed, too, as many as take so long."""
    latency_ms, answers, answer = [], [], contender.answer
    with contender.context():
        for sample in untimed:
            answer(sample)
        end_ms = clock.now_ms() + settle_ms
        while clock.now_ms() < end_ms:
            answer(next(others))
        with _without_collector():
            for sample in timed:
                start_ms = clock.now_ms()
                result = answer(sample)
                latency_ms.append(clock.now_ms() - start_ms)
                answers.append(result)
    return latency_ms, answers


@contextlib.contextmanager
def _without_collector():
    """Holds off Python's cyclic garbage collector, as `timeit` does: a pass over all objects takes milliseconds, and
    would by chance fall into the turn of any contender."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def latency_summary(latency_ms) -> dict:
    """Mean (the paper's figure), median, 90th and 99th percentile of latencies, in ms; empty dict for no latency."""
    if len(latency_ms) == 0:
        return {}
    p50, p90, p99 = np.percentile(latency_ms, (50, 90, 99))
    return {"mean": float(np.mean(latency_ms)), "p50": float(p50), "p90": float(p90), "p99": float(p99)}


def gain(
    baseline_ms, latency_ms, block=1, n_resamples=2000, level=0.95, seed=0, statistic=np.mean, processes=None
) -> dict:
    """How many times faster: the ratio of the mean latencies, with its interval.

    Measured in one process, the interval is a bootstrap over the samples (percentile method; Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 13), and says nothing of how another process would differ. Measured in
    several, it is Student's, of the logarithms of their ratios, and so has both terms: samples and processes. It is
    Student's of the samples' ratios, too, where there are few: a bootstrap of three covers 73 % in place of 95.

    Args:
        baseline_ms, latency_ms: (N,) latencies of the same samples; a resample keeps the pairs together.
        block: consecutive measurements that depend on each other, as those of one turn do where the samples are alike;
            a resample takes whole blocks. N is a multiple of it.
        n_resamples: bootstrap resamples.
        level: coverage of the interval.
        seed: of the resampling.
        statistic: what is compared, with an argument axis: the mean, as in the paper, or `np.median`, which an
            interrupted run does not move.
        processes: (N,) numbers of the processes that measured; None for one.

    Returns:
        {"value": ratio, "low": lower end, "high": upper end}
    """
    pairs = np.stack([baseline_ms, latency_ms])  # (2, N)
    value = float(np.divide(*statistic(pairs, axis=1)))
    blocks = pairs.reshape(2, -1, block)
    n_blocks = blocks.shape[1]
    parts = [] if processes is None else [pairs[:, processes == process] for process in np.unique(processes)]
    if len(parts) <= 1 < n_blocks < _FEW:
        parts = list(blocks.swapaxes(0, 1))
    if len(parts) > 1:
        low, high = _interval_of_ratios([np.divide(*statistic(part, axis=1)) for part in parts], value, level)
    else:
        rows = np.random.default_rng(seed).integers(n_blocks, size=(n_resamples, n_blocks))
        resampled = blocks[:, rows].reshape(2, n_resamples, -1)
        ratios = np.divide(*statistic(resampled, axis=2))
        low, high = np.percentile(ratios, (50 * (1 - level), 50 * (1 + level)))
    return {"value": value, "low": float(low), "high": float(high)}


def _interval_of_ratios(ratios, value, level):
    """Around a value, from independent ratios: Student's, of their logarithms."""
    from scipy import stats  # takes a while to load

    n, logarithms = len(ratios), np.log(ratios)
    half_width = stats.t.ppf((1 + level) / 2, n - 1) * logarithms.std(ddof=1) / np.sqrt(n)
    return value * np.exp(-half_width), value * np.exp(half_width)

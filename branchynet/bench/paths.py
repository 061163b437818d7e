"""The plain network against early exit, one sample at a time, by two clocks.

End to end is what a caller waits for: a NumPy sample in, a label out; branches, confidence measure, exit rule and
copies are inside. It is the compiled network's time, against two baselines: the plain network on the same engine, and
the plain network in plain Chainer, the setting of the paper.

The paper's clock, as the authors' code reads it, runs only while the trunk computes, in plain Chainer: the branches are
outside, and the baseline is timed whole. It flatters early exits; it is here because the paper's figures are by it.
Each sample runs through the trunk once; a setting of T is given the time until the exit that it answered the sample at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing

import chainer
import numpy as np

from branchynet.bench.agreement import check_answers
from branchynet.bench.timing import Clock, Contender, gain, latency_summary, n_within_budget, time_interleaved
from branchynet.confidence import ENTROPY
from branchynet.functions import plain_chainer
from branchynet.inference import compile_net, compile_plain, run
from branchynet.machine.devices import to_host
from branchynet.thresholds import as_exit_rule

# Timed samples are as many as fit the budget, within these bounds.
BUDGET_S = 20.0
MIN_SAMPLES, MAX_SAMPLES = 100, 10_000
# A turn is so many samples, and fewer where there would be less than four turns.
_BLOCK, _MIN_TURNS = 25, 4
# Within a millisecond a contender has its weights in the caches again, those of a rare late exit too, where the one
# before it needed all of them.
_SETTLE_MS = 1.0


class Contenders(typing.NamedTuple):
    """A trained network, and its compiled forms on one engine.

    Attributes:
        net: a `BranchyNet`.
        compiled: what `branchynet.inference.compile_net` makes of it; its measure is that of every path beside it.
        plain: what `branchynet.inference.compile_plain` makes of it.
    """

    net: typing.Any
    compiled: typing.Any
    plain: typing.Any

    @classmethod
    def of(cls, net, engine="auto", measure=ENTROPY):
        """Compiles `net` for an engine and a measure of confidence, on the device that it is on."""
        compiled = compile_net(net, engine=engine, device=net.device.name, measure=measure)
        # Not "auto" again, which may take another engine where there is no measure.
        return cls(net, compiled, compile_plain(net, engine=compiled.engine, device=net.device.name))


@dataclasses.dataclass(frozen=True)
class PathCosts:
    """What K settings of T cost beside both baselines, all timed on the same n samples.

    Attributes:
        plain_chainer_ms, plain_ms: (n,) latencies of the plain network in plain Chainer, and on the same engine.
        end_to_end_ms: (K, n) latencies, everything included.
        paper_clock_ms: (K, n) latencies by the paper's clock, of the same exits.
        labels, exits: (K, n) what the compiled network answered.
        processes: (n,) the number of the process that timed each sample.
    """

    plain_chainer_ms: np.ndarray
    plain_ms: np.ndarray
    end_to_end_ms: np.ndarray
    paper_clock_ms: np.ndarray
    labels: np.ndarray
    exits: np.ndarray
    processes: np.ndarray

    @classmethod
    def pooled(cls, parts) -> PathCosts:
        """What several processes timed, of the same settings, one after another; process n made part n."""
        arrays = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=-1)
            for field in dataclasses.fields(cls)
        }
        numbers = np.repeat(np.arange(len(parts)), [len(part.plain_ms) for part in parts])
        return cls(**{**arrays, "processes": numbers})

    def summary(self, setting=0, n_exits=1) -> dict:
        """Latency summaries and gains, by both clocks, of one of the settings; JSON-able."""
        chainer_ms, plain_ms = self.plain_chainer_ms, self.plain_ms
        end_to_end_ms, paper_clock_ms = self.end_to_end_ms[setting], self.paper_clock_ms[setting]
        leaving = np.bincount(self.exits[setting], minlength=n_exits)

        def gain_over(baseline_ms, latency_ms):
            return gain(baseline_ms, latency_ms, processes=self.processes)

        return {
            "n_samples_timed": len(plain_ms),
            "n_processes_timed": len(np.unique(self.processes)),
            "timed_exit_pct": (100 * leaving / len(plain_ms)).tolist(),
            "plain_chainer_ms": latency_summary(chainer_ms),
            "plain_ms": latency_summary(plain_ms),
            "end_to_end_ms": latency_summary(end_to_end_ms),
            "paper_clock_ms": latency_summary(paper_clock_ms),
            "end_to_end_gain": gain_over(plain_ms, end_to_end_ms),
            "gain_over_chainer": gain_over(chainer_ms, end_to_end_ms),
            "paper_clock_gain": gain_over(chainer_ms, paper_clock_ms),
        }


@contextlib.contextmanager
def _as_in_inference():
    """A context in which Chainer keeps no graph, and batch normalisation its statistics."""
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        yield


def chainer_path(net):
    """The plain network in plain Chainer, as a function of a batch -> labels (N,), where the batch is."""
    plain_net = net.plain()

    @_as_in_inference()
    def answer(x):
        with plain_chainer():
            labels = plain_net(net.device.send(x)).array.argmax(axis=1)
        return to_host(labels) if isinstance(x, np.ndarray) else labels

    return answer


def reference_path(net, thresholds):
    """The reference path at T, as a function of a batch -> labels (N,) and exits (N,), where the batch is."""

    def answer(x):
        found = run(net, x, thresholds)[:2]
        return tuple(map(to_host, found)) if isinstance(x, np.ndarray) else found

    return answer


def compiled_path(compiled, thresholds):
    """Compiled inference at T, as a function of a batch -> labels (N,) and exits (N,), where the batch is."""
    return lambda x: compiled.run(x, thresholds)[:2]


def trunk_path(net, clock):
    """The trunk in plain Chainer, as a function of one sample -> list of the ms until each exit by the paper's clock.

    That clock stands still for the branches, so they are not computed. One pass gives the time to any exit.
    """

    @_as_in_inference()
    def answer(x):
        until_exits, trunk_ms, x = [], 0.0, net.device.send(x)
        for stage, _ in net.stages():
            with plain_chainer():
                start_ms = clock.now_ms()
                x = stage(x)
                trunk_ms += clock.now_ms() - start_ms
            until_exits.append(trunk_ms)
        return until_exits

    return answer


def path_costs(contenders, samples, budget_s=BUDGET_S) -> PathCosts:
    """Times both baselines and the path to every exit, in turn; setting n of T lets every sample leave at exit n.

    Args:
        contenders: `Contenders`.
        samples: (n, C, H, W) float32 on the host; as many of them are used as fit the budget.
        budget_s: seconds for all of them.
    """
    return time_settings(contenders, samples, contenders.compiled.thresholds_of_each_exit(), budget_s)


def measure(contenders, samples, settings, budget_s=BUDGET_S, time_all=None) -> PathCosts:
    """Times settings of T, as of `branchynet.inference.run`, and both baselines, in turn, for real.

    Args:
        contenders, samples, budget_s: as of `path_costs`.
        settings: K of them.
        time_all: what times them, `time_settings` by default; another one may do so in several processes, on the first
            of the samples, in their order.

    Raises:
        RuntimeError: a timed run answered otherwise than the reference path.
    """
    measured = (time_all or time_settings)(contenders, samples, settings, budget_s)
    used = samples[: len(measured.plain_ms)]
    for thresholds, labels, exits in zip(settings, measured.labels, measured.exits):
        check_answers(contenders.net, used, thresholds, labels, exits, contenders.compiled.measure)
    return measured


def exit_times(compiled_nets, samples, budget_s=BUDGET_S) -> dict:
    """Times the path to every exit of several compiled networks, all in turn on the same samples.

    Args:
        compiled_nets: {name: `branchynet.inference.CompiledNet`}, all on one device: one network with several measures
            of confidence, for instance.

    Returns:
        {name: (n_exits, n) latencies in ms of a sample that leaves at each exit, everything included}
    """
    paths = {
        (name, n): compiled_path(compiled, thresholds)
        for name, compiled in compiled_nets.items()
        for n, thresholds in enumerate(compiled.thresholds_of_each_exit())
    }
    results = time_paths(paths, samples, next(iter(compiled_nets.values())).device, budget_s)
    return {
        name: np.array([results[name, n][0] for n in range(compiled.plan.n_exits)])
        for name, compiled in compiled_nets.items()
    }


def time_paths(paths, samples, device, budget_s=BUDGET_S) -> dict:
    """Times functions of one sample, in turn, as `time_batches` does; samples: (n, C, H, W) float32 on the host."""
    return time_batches(paths, batches_of(samples, 1), device, budget_s)


def batches_of(samples, batch_size, at_least=1) -> list:
    """Samples (n, ...), on the host or on a GPU, as batches of one size: views, one behind the other.

    There are at least so many: beyond the last sample the first one comes again, so that place p of all batches one
    behind the other is sample p % n.
    """
    n, n_batches = len(samples), max(len(samples) // batch_size, at_least)
    if n_batches * batch_size > n:
        samples = chainer.backend.get_array_module(samples).concatenate([samples] * (1 + -(-batch_size // n)))
    starts = [number * batch_size % n for number in range(n_batches)]
    return [samples[start : start + batch_size] for start in starts]


def time_batches(paths, batches, device, budget_s=BUDGET_S, at_least=MIN_SAMPLES) -> dict:
    """Times functions of a batch, in turn, on as many batches as fit a budget.

    Args:
        paths: {name: function of a batch (n, C, H, W)}.
        batches: list of batches, at least one.
        device: chainer device that they compute on.
        budget_s: seconds for all of them.
        at_least: batches that are timed whatever the budget, where there are so many.

    Returns:
        {name: (latency_ms of a batch (n_batches,), answers, a list)}
    """
    clock, contenders = Clock(device), {name: Contender(answer) for name, answer in paths.items()}
    batches = batches[:MAX_SAMPLES]
    n_batches = n_within_budget(contenders, batches, clock, budget_s, at_least, MAX_SAMPLES)
    block = min(_BLOCK, max(1, n_batches // _MIN_TURNS))
    # A few large batches would take several times the budget for what is not timed; one is settled in a millisecond.
    few = {"warm_up": 1, "settle": 0} if block == 1 else {}
    return time_interleaved(contenders, batches[:n_batches], clock, block=block, settle_ms=_SETTLE_MS, **few)


def time_settings(contenders, samples, settings, budget_s) -> PathCosts:
    """Times settings of T and both baselines in this process, as `measure` does, but without a look at the answers."""
    net, compiled, plain = contenders
    each = range(len(settings))
    paths = {"plain chainer": chainer_path(net), "plain": compiled_path(plain, ())}
    paths["trunk"] = trunk_path(net, Clock(net.device))
    for n, thresholds in enumerate(settings):
        rule = as_exit_rule(thresholds, net.n_exits, compiled.measure.lowest)
        paths["end to end", n] = compiled_path(compiled, rule)
    results = time_paths(paths, samples, net.device, budget_s)
    answers = np.array([np.concatenate(results["end to end", n][1], axis=1) for n in each])  # (K, 2, n)
    labels, exits = answers.swapaxes(0, 1)
    until_exits = np.array(results["trunk"][1])  # (n, n_exits)
    return PathCosts(
        results["plain chainer"][0],
        results["plain"][0],
        np.array([results["end to end", n][0] for n in each]),
        until_exits[np.arange(len(until_exits)), exits],
        labels,
        exits,
        np.zeros(len(until_exits), int),
    )

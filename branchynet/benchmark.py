"""Baseline against branchy, one sample at a time, by two clocks.

End to end is what a caller waits for: a NumPy sample in, a label out; branches, confidence measure, exit rule and
copies are inside. It is the compiled network's time, against two baselines: the plain network on the same engine, and
the plain network in plain Chainer, the setting of the paper.

The paper's clock, as the authors' code reads it, runs only while the trunk computes, in plain Chainer: the branches are
outside, and the baseline is timed whole. It flatters early exits; it is here because the paper's figures are by it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import typing

import chainer
import numpy as np

from branchynet import functions
from branchynet.agreement import check_answers
from branchynet.confidence import ENTROPY
from branchynet.inference import compile, compile_plain
from branchynet.thresholds import as_exit_rule
from branchynet.timing import Clock, gain, latency_summary, time_interleaved

# Timed samples are as many as fit this budget, within these bounds.
BUDGET_S = 20.0
MIN_SAMPLES, MAX_SAMPLES = 100, 2000


@dataclasses.dataclass(frozen=True)
class PathCosts:
    """What leaving at each exit costs, whatever the sample: every path is timed on the same samples.

    Attributes:
        chainer_ms: (n,) latencies of the plain network in plain Chainer.
        baseline_ms: (n,) latencies of the plain network on the same engine.
        end_to_end_ms: (n_exits, n) latencies of a sample that leaves at each exit, everything included.
        paper_clock_ms: (n_exits, n) the same by the paper's clock.
    """

    chainer_ms: np.ndarray
    baseline_ms: np.ndarray
    end_to_end_ms: np.ndarray
    paper_clock_ms: np.ndarray


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One setting of T, timed for real on n samples.

    Attributes:
        chainer_ms, baseline_ms, end_to_end_ms, paper_clock_ms: (n,) latencies.
        labels, exits: (n,) what the timed runs answered.
    """

    chainer_ms: np.ndarray
    baseline_ms: np.ndarray
    end_to_end_ms: np.ndarray
    paper_clock_ms: np.ndarray
    labels: np.ndarray
    exits: np.ndarray

    def summary(self) -> dict:
        """Latency summaries and gains by both clocks, JSON-able."""
        return {
            "n_samples_timed": len(self.labels),
            "chainer_ms": latency_summary(self.chainer_ms),
            "baseline_ms": latency_summary(self.baseline_ms),
            "end_to_end_ms": latency_summary(self.end_to_end_ms),
            "paper_clock_ms": latency_summary(self.paper_clock_ms),
            "end_to_end_gain": gain(self.baseline_ms, self.end_to_end_ms),
            "gain_over_chainer": gain(self.chainer_ms, self.end_to_end_ms),
            "paper_clock_gain": gain(self.chainer_ms, self.paper_clock_ms),
        }


@dataclasses.dataclass(frozen=True)
class Contenders:
    """A trained network, and its compiled forms on one engine.

    Attributes:
        net: a `BranchyNet`.
        compiled: what `branchynet.inference.compile` makes of it.
        plain: what `branchynet.inference.compile_plain` makes of it.
    """

    net: typing.Any
    compiled: typing.Any
    plain: typing.Any

    @classmethod
    def of(cls, net, engine="auto", measure=ENTROPY):
        """Compiles `net` for an engine and a measure of confidence, on the device that it is on."""
        sample_shape, device = net.sample_shape, net.device.name
        compiled = compile(net, sample_shape, engine, device, measure=measure)
        return cls(net, compiled, compile_plain(net, sample_shape, engine, device))

    @property
    def measure(self):
        """How sure an exit is: the `Measure` of the compiled network, and of every path beside it."""
        return self.compiled.measure


def chainer_path(net):
    """The plain network in plain Chainer, as a function of one sample (1, C, H, W) -> label."""
    plain_net = net.baseline()

    def answer(x):
        with functions.plain_chainer():
            return int(plain_net(net.device.send(x)).array.argmax())

    return answer


def compiled_path(compiled, thresholds):
    """Compiled inference at T, as a function of one sample (1, C, H, W) -> (label, exit)."""

    def answer(x):
        answers = compiled.run(x, thresholds)
        return int(answers.labels[0]), int(answers.exits[0])

    return answer


def trunk_path(net, thresholds, clock, measure=ENTROPY):
    """Early-exit inference in plain Chainer at T, as a function of one sample -> (ms by the paper's clock, exit).

    The clock runs while a stage of the trunk computes and stands still for the branches.
    """
    rule = as_exit_rule(thresholds, net.n_exits, measure.lowest)

    def answer(x):
        trunk_ms, earlier = 0.0, []
        x = net.device.send(x)
        for exit_index, (stage, branch) in enumerate(net.stages()):
            with functions.plain_chainer():
                start_ms = clock.now_ms()
                x = stage(x)
                trunk_ms += clock.now_ms() - start_ms
                logits = branch(x).array
            scores = measure.scores(exit_index, logits, earlier)
            if exit_index == net.n_exits - 1 or bool(rule.leaves(exit_index, scores)[0]):
                return trunk_ms, exit_index
            if measure.needs_earlier_exits:
                earlier.append(logits)

    return answer


def path_costs(contenders, samples) -> PathCosts:
    """Times both baselines and the path to every exit, interleaved, on the same samples.

    Args:
        contenders: `Contenders`.
        samples: (n, C, H, W) float32 on the host; as many of them are used as fit `BUDGET_S`.
    """
    net, clock = contenders.net, Clock(contenders.net.device)
    paths = {"chainer": chainer_path(net), "baseline": compiled_path(contenders.plain, ())}
    for exit_index in range(net.n_exits):
        thresholds = _always_leave_at(exit_index, net.n_exits, contenders.measure)
        paths[f"end to end {exit_index}"] = compiled_path(contenders.compiled, thresholds)
        paths[f"trunk {exit_index}"] = trunk_path(net, thresholds, clock, contenders.measure)
    with inference_mode():
        results = time_interleaved(paths, _within_budget(paths, samples, clock), clock)
    exits = range(net.n_exits)
    return PathCosts(
        results["chainer"][0],
        results["baseline"][0],
        np.array([results[f"end to end {n}"][0] for n in exits]),
        np.array([[trunk_ms for trunk_ms, _ in results[f"trunk {n}"][1]] for n in exits]),
    )


def exit_times(compiled_nets, samples, budget_s=None) -> dict:
    """Times the path to every exit of several compiled networks, all in turn on the same samples.

    Args:
        compiled_nets: {name: `branchynet.inference.CompiledNet`}, all on one device: one network with several measures
            of confidence, for instance.
        samples: (n, C, H, W) float32 on the host; as many of them are used as fit the budget.
        budget_s: seconds for all of them; `BUDGET_S` by default.

    Returns:
        {name: (n_exits, n) latencies in ms of a sample that leaves at each exit, everything included}
    """
    paths = {}
    for name, compiled in compiled_nets.items():
        for exit_index in range(compiled.plan.n_exits):
            thresholds = _always_leave_at(exit_index, compiled.plan.n_exits, compiled.measure)
            paths[name, exit_index] = compiled_path(compiled, thresholds)
    results = time_paths(paths, samples, next(iter(compiled_nets.values())).device, budget_s)
    return {
        name: np.array([results[name, n][0] for n in range(compiled.plan.n_exits)])
        for name, compiled in compiled_nets.items()
    }


def time_paths(paths, samples, device, budget_s=None) -> dict:
    """Times functions of one sample, interleaved, on as many samples as fit a budget.

    Args:
        paths: {name: function of one sample (1, C, H, W)}.
        samples: (n, C, H, W) float32 on the host.
        device: chainer device that they compute on.
        budget_s: seconds for all of them; `BUDGET_S` by default.

    Returns:
        {name: (latency_ms (n,), answers, a list)}
    """
    clock = Clock(device)
    with inference_mode():
        return time_interleaved(paths, _within_budget(paths, samples, clock, budget_s), clock)


def measure(contenders, samples, thresholds) -> Measurement:
    """Times one setting of T against both baselines, interleaved, for real.

    Args:
        contenders: `Contenders`.
        samples: (n, C, H, W) float32 on the host; as many of them are used as fit `BUDGET_S`.
        thresholds: as of `branchynet.inference.run`.

    Raises:
        RuntimeError: a timed run answered otherwise than the reference path.
    """
    net, clock = contenders.net, Clock(contenders.net.device)
    thresholds = as_exit_rule(thresholds, net.n_exits, contenders.measure.lowest)
    paths = {
        "chainer": chainer_path(net),
        "baseline": compiled_path(contenders.plain, ()),
        "branchy": compiled_path(contenders.compiled, thresholds),
        "trunk": trunk_path(net, thresholds, clock, contenders.measure),
    }
    with inference_mode():
        timed_samples = _within_budget(paths, samples, clock)
        results = time_interleaved(paths, timed_samples, clock)
    labels, exits = np.array(results["branchy"][1]).T
    check_answers(net, samples[: len(labels)], thresholds, labels, exits, contenders.measure)
    trunk_ms = np.array([trunk_ms for trunk_ms, _ in results["trunk"][1]])
    return Measurement(results["chainer"][0], results["baseline"][0], results["branchy"][0], trunk_ms, labels, exits)


def _always_leave_at(exit_index, n_exits, measure):
    return tuple(math.inf if n == exit_index else measure.lowest for n in range(n_exits - 1))


def _within_budget(contenders, samples, clock, budget_s=None):
    """The first samples, one at a time, as many as the budget (`BUDGET_S` by default) allows, judged by a few trial
    runs."""
    trial = [samples[i : i + 1] for i in range(min(3, len(samples)))]
    for contender in contenders.values():
        contender(trial[0])
    start_ms = clock.now_ms()
    for sample in trial:
        for contender in contenders.values():
            contender(sample)
    per_sample_s = (clock.now_ms() - start_ms) / 1e3 / len(trial)
    n_samples = int(np.clip((BUDGET_S if budget_s is None else budget_s) / per_sample_s, MIN_SAMPLES, MAX_SAMPLES))
    return [samples[i : i + 1] for i in range(min(n_samples, len(samples)))]


def inference_mode():
    """A context without dropout, batch statistics and the recording of gradients."""
    stack = contextlib.ExitStack()
    stack.enter_context(chainer.using_config("train", False))
    stack.enter_context(chainer.no_backprop_mode())
    return stack

"""The paper's fast inference (section III-C), for one sample and for batches, on the device of the network.

For each exit: compute its logits; the samples whose entropy is below the threshold leave with the answer; only the
others go on. Nothing above an exit is computed for a sample that left there.
"""

from __future__ import annotations

import typing

import chainer
import numpy as np

from branchynet.confidence import entropy
from branchynet.errors import NetworkError
from branchynet.thresholds import ExitRecords, as_exit_rule


class Answers(typing.NamedTuple):
    """What early-exit inference answers, in the order of the input, on the device of the network.

    Attributes:
        labels: (N,) int32, the predicted class.
        exits: (N,) int32, the exit each sample left at, 0 for the first.
        entropies: (N,) float32, nats, of that exit's softmax output: the confidence, lower is surer.
        logits: (N, n_classes) float32, of that exit.
    """

    labels: typing.Any
    exits: typing.Any
    entropies: typing.Any
    logits: typing.Any


def run(net, x, thresholds, batch_size=None) -> Answers:
    """Classifies samples, each leaving at the first exit that is sure enough of it.

    Args:
        net: a `BranchyNet`.
        x: (N, C, H, W) float32 array, NumPy or on the device of the network; N may be 0 or 1.
        thresholds: what `branchynet.thresholds.as_exit_rule` takes: one T in nats, one for each early exit, or a
            `PercentExits`.
        batch_size: samples at a time; all at once by default.

    Raises:
        ThresholdError: the thresholds do not fit the network's exits.
        NetworkError: x is not a float32 batch.
    """
    rule = as_exit_rule(thresholds, net.n_exits)
    check_batch(x)
    if len(x) == 0:
        # Chainer's functions refuse an empty batch; the answer to one sample, less that sample, is the right answer.
        answers = run(net, np.zeros((1, *x.shape[1:]), dtype=np.float32), thresholds)
        return Answers(*[array[:0] for array in answers])
    step = batch_size or len(x)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        parts = [_run_batch(net, net.device.send(x[i : i + step]), rule) for i in range(0, len(x), step)]
    if len(parts) == 1:
        return parts[0]
    return Answers(*[net.xp.concatenate(arrays) for arrays in zip(*parts)])


def record_exits(net, x, labels, batch_size=500) -> ExitRecords:
    """Runs every exit on every sample, once, so that settings of T can be evaluated without the network.

    Args:
        net: a `BranchyNet`.
        x: (N, C, H, W) float32.
        labels: (N,) int32.
        batch_size: samples at a time.

    Returns:
        `ExitRecords` of NumPy arrays.
    """
    check_batch(x)
    entropies, predictions = [], []
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        for start in range(0, len(x), batch_size):
            logits = [exit_logits.array for exit_logits in net(net.device.send(x[start : start + batch_size]))]
            entropies.append([chainer.get_device("@numpy").send(entropy(z)) for z in logits])
            predictions.append([chainer.get_device("@numpy").send(z.argmax(axis=1)) for z in logits])
    return ExitRecords(
        np.concatenate(entropies, axis=1).astype(np.float32),
        np.concatenate(predictions, axis=1).astype(np.int32),
        np.asarray(labels, dtype=np.int32),
    )


def check_batch(x) -> None:
    """Raises NetworkError unless x is a batch (N, ...) of float32."""
    if getattr(x, "dtype", None) != np.float32 or getattr(x, "ndim", 0) < 2:
        found = f"{x.dtype} of shape {x.shape}" if hasattr(x, "dtype") else type(x).__name__
        raise NetworkError(f"expected a float32 batch (N, ...), got {found}")


def leave_early(xp, x, n_exits, run_segment, rule) -> Answers:
    """One batch through the exits; samples that leave are removed from the batch, on the device they are on.

    Args:
        xp: NumPy or CuPy.
        x: (N, ...) float32 array, N >= 1.
        n_exits: the network's exits, the last one included.
        run_segment: (index of the exit, h (n, ...)) -> (logits (n, n_classes), input of the next segment (n, ...));
            the latter is not looked at behind the last exit.
        rule: an exit rule of `as_exit_rule`.
    """
    n_samples = len(x)
    labels = xp.empty(n_samples, dtype=np.int32)
    exits = xp.empty(n_samples, dtype=np.int32)
    entropies = xp.empty(n_samples, dtype=np.float32)
    all_logits = None
    remaining = xp.arange(n_samples)
    for index in range(n_exits):
        logits, x = run_segment(index, x)
        if all_logits is None:
            all_logits = xp.empty((n_samples, logits.shape[1]), dtype=np.float32)
        sample_entropies = entropy(logits)
        is_last = index == n_exits - 1
        leaving = xp.ones(len(remaining), dtype=bool) if is_last else rule.leaves(index, sample_entropies)
        rows = remaining[leaving]
        labels[rows] = logits[leaving].argmax(axis=1)
        exits[rows] = index
        entropies[rows] = sample_entropies[leaving]
        all_logits[rows] = logits[leaving]
        remaining = remaining[~leaving]
        if len(remaining) == 0:
            break
        x = x[~leaving]
    return Answers(labels, exits, entropies, all_logits)


def _run_batch(net, x, rule):
    segments = list(net.stages())

    def run_segment(index, h):
        stage, branch = segments[index]
        h = stage(chainer.as_variable(h)).array
        return branch(chainer.as_variable(h)).array, h

    return leave_early(net.xp, x, net.n_exits, run_segment, rule)

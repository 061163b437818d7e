"""The paper's fast inference (section III-C), for one sample and for batches, on the device of the network.

For each exit: compute its logits; the samples whose score (the entropy, or what another measure gives) is below the
threshold leave with the answer; only the others go on. Nothing above an exit is computed for a sample that left there.
"""

import typing

import chainer
import numpy as np

from branchynet.confidence import ENTROPY, as_measure
from branchynet.errors import MeasureError, NetworkError, ThresholdError
from branchynet.gate import labels as as_labels
from branchynet.gate import whole_number
from branchynet.machine.devices import to_host
from branchynet.net import check_net
from branchynet.thresholds import ExitRecords, as_exit_rule


class Answers(typing.NamedTuple):
    """What early-exit inference answers, in the order of the input, on the device of the network.

    Attributes:
        labels: (N,) int32, the predicted class.
        exits: (N,) int32, the exit each sample left at, 0 for the first.
        scores: (N,) float32, how sure that exit is, lower is surer: by default the entropy of its softmax output in
            nats, else what the measure gives that was asked for.
        logits: (N, n_classes) float32, of that exit.
    """

    labels: typing.Any
    exits: typing.Any
    scores: typing.Any
    logits: typing.Any

    @classmethod
    def empty(cls, xp, n, n_classes):
        """Room for n answers, arrays of `xp`, NumPy or CuPy."""
        integers, floats = [xp.empty(n, np.int32) for _ in range(2)], xp.empty(n, np.float32)
        return cls(*integers, floats, xp.empty((n, n_classes), np.float32))


def run(net, x, thresholds, batch_size=None, measure=ENTROPY) -> Answers:
    """Classifies samples, each leaving at the first exit that is sure enough of it.

    Args:
        net: a `BranchyNet`.
        x: (N, C, H, W) float32 array, NumPy or on the device of the network; N may be 0 or 1.
        thresholds: what `branchynet.thresholds.as_exit_rule` takes: one T (of the entropy: in nats), one for each early
            exit, or a `PercentExits`.
        batch_size: samples at a time; all at once by default.
        measure: how sure an exit is: a `branchynet.confidence.Measure`, or the name of one.

    Raises:
        ThresholdError: the thresholds do not fit the network's exits.
        NetworkError: x is no float32 batch of samples of the network, it or what an exit makes of it is not finite, or
            the batch size is no whole number.
        MeasureError: there is no such measure, it is not fitted, or to another network, or a score is NaN.
    """
    measure = _checked_measure(measure, net)
    rule = as_exit_rule(thresholds, net.n_exits, measure.lowest)
    _check_samples(net, x)
    if len(x) == 0:
        # Chainer's functions refuse an empty batch; the answer to one sample, less that sample, is the right answer.
        answers = run(net, np.zeros((1, *x.shape[1:]), dtype=np.float32), thresholds, measure=measure)
        return Answers(*[array[:0] for array in answers])
    step = len(x) if batch_size is None else whole_number("batch_size", batch_size, NetworkError)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        parts = [_run_batch(net, net.device.send(x[i : i + step]), rule, measure) for i in range(0, len(x), step)]
    if len(parts) == 1:
        return parts[0]
    return Answers(*[net.xp.concatenate(arrays) for arrays in zip(*parts)])


def record_exits(net, x, labels, batch_size=500, measure=ENTROPY) -> ExitRecords:
    """Runs every exit on every sample, once, so that settings of T can be evaluated without the network.

    Args:
        net: a `BranchyNet`.
        x: (N, C, H, W) float32.
        labels: (N,) int32.
        batch_size: samples at a time.
        measure: how sure an exit is: a `branchynet.confidence.Measure`, or the name of one.

    Returns:
        `ExitRecords` of NumPy arrays.

    Raises:
        NetworkError, MeasureError: as of `run`.
        ThresholdError: the labels are not one class of the network for each sample.
    """
    measure = _checked_measure(measure, net)
    _check_samples(net, x)
    labels = as_labels(labels, len(x), net.n_classes, ThresholdError)
    if len(x) == 0:
        return ExitRecords.of(record_logits(net, x), labels, measure)
    # Scored batch by batch, on the device of the network.
    parts = [ExitRecords.of(logits, labels[rows], measure) for rows, logits in _logits_of_batches(net, x, batch_size)]
    return ExitRecords(
        np.concatenate([part.scores for part in parts], axis=1),
        np.concatenate([part.predictions for part in parts], axis=1),
        np.concatenate([part.labels for part in parts]),
        measure.lowest,
    )


def record_logits(net, x, batch_size=500) -> np.ndarray:
    """The logits of every exit for every sample, from one pass: for fitting measures and comparing several.

    ``ExitRecords.of(logits, labels, measure)`` makes of them what `record_exits` returns.

    Args:
        net: a `BranchyNet`.
        x: (N, C, H, W) float32; N may be 0.
        batch_size: samples at a time.

    Returns:
        (n_exits, N, n_classes) float32, on the host.

    Raises:
        NetworkError: as of `run`.
    """
    _check_samples(net, x)
    if len(x) == 0:
        return record_logits(net, np.zeros((1, *x.shape[1:]), dtype=np.float32))[:, :0]
    batches = [[to_host(z) for z in logits] for _, logits in _logits_of_batches(net, x, batch_size)]
    return np.concatenate(batches, axis=1)


def _logits_of_batches(net, x, batch_size):
    """For each batch: its rows, and for each exit the logits (n, n_classes), on the device of the network."""
    batch_size = whole_number("batch_size", batch_size, NetworkError)
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        # Not around the loop: what takes the logits is not to find Chainer's configuration changed.
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            logits = [exit_logits.array for exit_logits in net(net.device.send(x[rows]))]
        for index, exit_logits in enumerate(logits):
            check_logits(net.xp, index, exit_logits)
        yield rows, logits


def _checked_measure(measure, net):
    check_net(net)
    measure = as_measure(measure)
    measure.check(net.n_exits)
    return measure


# Compared several times faster than the types, which matters for a small network.
FLOAT32, UINT8 = np.dtype(np.float32), np.dtype(np.uint8)


def check_batch(x, dtype=FLOAT32) -> None:
    """Raises NetworkError unless x is a batch (N, ...) of a type: an array of NumPy or CuPy, without a mask."""
    is_array = type(x) is np.ndarray or not isinstance(x, _NO_ARRAYS)
    if not is_array or getattr(x, "dtype", None) != dtype or getattr(x, "ndim", 0) < 2:
        found = f"{type(x).__name__} of {x.dtype}, shape {x.shape}" if not is_array else type(x).__name__
        found = f"{x.dtype} of shape {x.shape}" if is_array and hasattr(x, "dtype") else found
        raise NetworkError(f"expected a {dtype} batch (N, ...), got {found}")


# Sums of larger numbers overflow float32 within a network, and some engines then answer all the same.
LARGEST = 1e18
# They have a dtype and a shape, and are no plain arrays: a mask would be passed over in silence.
_NO_ARRAYS = (np.ma.MaskedArray, chainer.Variable)


def check_finite(xp, x) -> None:
    """Raises NetworkError unless all numbers of an array of `xp` are finite, and at most `LARGEST` in size."""
    # The sum of the squares costs little, and is NaN or infinity if a number is; where it is too large only because
    # there are many, each number is looked at.
    flat = x.ravel()
    if not (xp.dot(flat, flat) <= LARGEST**2 or (xp.abs(flat) <= LARGEST).all()):
        raise NetworkError(f"expected numbers of at most {LARGEST:g}, got NaN or infinity, or larger ones")


def check_logits(xp, exit_index, logits) -> None:
    """Raises NetworkError unless the logits of an exit, an array of `xp`, are finite: no score is one else."""
    if not xp.isfinite(logits).all():
        raise NetworkError(
            f"exit {exit_index + 1}: expected finite logits, got NaN or infinity: a weight is, or samples are too large"
        )


def nan_score(measure, exit_index) -> MeasureError:
    """The error of a score that is NaN: no threshold says whether such a sample leaves."""
    return MeasureError(f"{measure.name}: expected scores that are numbers, got NaN at exit {exit_index + 1}")


def _check_samples(net, x):
    """Raises NetworkError unless x is a batch of finite samples of the network, which has all its parameters then."""
    check_net(net)
    check_batch(x)
    if net.sample_shape is None:
        net.initialise(x.shape[1:])
    if x.shape[1:] != net.sample_shape:
        raise NetworkError(f"expected samples of shape {net.sample_shape}, got {tuple(x.shape[1:])}")
    # Looked at where it comes from: on the host that takes no wait for the GPU.
    check_finite(np if isinstance(x, np.ndarray) else net.xp, x)


def leave_early(xp, x, n_exits, run_segment, rule, measure=ENTROPY) -> Answers:
    """One batch through the exits; samples that leave are removed from the batch, on the device they are on.

    Args:
        xp: NumPy or CuPy.
        x: (N, ...) float32 array, N >= 1.
        n_exits: the network's exits, the last one included.
        run_segment: (index of the exit, h (n, ...)) -> (logits (n, n_classes), input of the next segment (n, ...));
            the latter is not looked at behind the last exit.
        rule: an exit rule, of `as_exit_rule`.
        measure: a `branchynet.confidence.Measure`; None where there is one exit: the scores are NaN then.
    """
    answers, earlier, remaining = None, (), xp.arange(len(x))
    for index in range(n_exits):
        logits, x = run_segment(index, x)
        check_logits(xp, index, logits)
        if answers is None:
            answers = Answers.empty(xp, len(logits), logits.shape[1])
        if measure is None:
            sample_scores = xp.full(len(logits), np.nan, np.float32)
        else:
            sample_scores = measure.scores_after(index, logits, earlier)
            if xp.isnan(sample_scores).any():
                raise nan_score(measure, index)
        # All who came get the answer of this exit; who goes on gets that of a later one in its place.
        answers.labels[remaining] = logits.argmax(axis=1)
        answers.exits[remaining] = index
        answers.scores[remaining] = sample_scores
        answers.logits[remaining] = logits
        if index == n_exits - 1:
            break
        going_on = xp.flatnonzero(~rule.leaves(index, sample_scores))
        if len(going_on) == 0:
            break
        remaining, x = remaining[going_on], x[going_on]
        if measure is not None and measure.needs_earlier_exits:
            earlier = [exit_logits[going_on] for exit_logits in (*earlier, logits)]
    return answers


def _run_batch(net, x, rule, measure):
    segments = list(net.stages())

    def run_segment(index, h):
        stage, branch = segments[index]
        h = stage(chainer.as_variable(h)).array
        return branch(chainer.as_variable(h)).array, h

    return leave_early(net.xp, x, net.n_exits, run_segment, rule, measure)

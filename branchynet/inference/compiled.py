"""The fast inference path: a net compiled into a plan, run by an engine."""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
import os
import threading
from math import inf, isfinite

import numpy as np

from branchynet.confidence import ENTROPY, as_measure
from branchynet.datasets.samples import describe
from branchynet.errors import CompileError, DataError, MeasureError, NetworkError, ThresholdError
from branchynet.gate import labels as as_labels
from branchynet.gate import transformed
from branchynet.inference.engines import make_engine
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.inference.reference import (
    FLOAT32,
    UINT8,
    Answers,
    check_batch,
    check_finite,
    check_logits,
    leave_early,
    nan_score,
)
from branchynet.machine.devices import get_device, to_host
from branchynet.thresholds import ExitRecords, Thresholds, as_exit_rule


def compile_net(
    net,
    sample_shape=None,
    engine="auto",
    device="cpu",
    threads=1,
    measure=ENTROPY,
    precision="f32",
    calibration=None,
    transform=None,
) -> CompiledNet:
    """Compiles a trained network for early-exit inference.

    Args:
        net: a `BranchyNet`; later changes to its weights do not reach the compiled one.
        sample_shape: shape of one sample, (C, H, W); that of the net by default.
        engine: of `branchynet.inference.engines.engine_names`; "auto" is the first choice of those that are installed.
        device: "cpu", "gpu" or "gpu:N".
        threads: that the engine may compute with; the arrays engine computes in the caller's thread.
        measure: how sure an exit is: a `branchynet.confidence.Measure`, or the name of one.
        precision: of weights and activations inside an engine that has it: "f32"; "bf16", where the processor computes
            so; "int8". Answers differ from the reference path's, so T should be chosen again, from
            `CompiledNet.record_exits`.
        calibration: for "int8": some hundred training images (n, C, H, W) float32, which say how large activations get.
        transform: of `branchynet.datasets.transforms`: the net then takes uint8 images in place of samples, as on a GPU
            the cuda engine does in its kernel where the transform works channel by channel: a quarter is copied.

    Raises:
        CompileError: a layer, an engine or a precision that cannot be had.
        DataError: a transform of other images, or what is none.
        DeviceError: a device that cannot be used.
        NetworkError: the network does not take such a sample, or no shape is known.
        MeasureError: there is no such measure, or it is not fitted, or to another network.
    """
    plan = with_transform(make_plan(net, sample_shape), transform)
    return CompiledNet(plan, engine, device, threads, as_measure(measure), precision, calibration)


def compile_plain(
    net, sample_shape=None, engine="auto", device="cpu", threads=1, precision="f32", calibration=None, transform=None
) -> CompiledNet:
    """Compiles the plain network, trunk and last exit, for the same engines: the same-engine baseline.

    Arguments and errors are those of `compile_net`. It has one exit, so no measure decides anything, and none is
    computed: the scores of its answers are NaN.
    """
    plan = with_transform(make_plain_plan(net, sample_shape), transform)
    return CompiledNet(plan, engine, device, threads, None, precision, calibration)


def with_transform(plan, transform):
    """A plan that begins with uint8 images, where there is a transform; DataError if it is none, or of other images."""
    if transform is not None:
        shape = transformed(transform, np.zeros((1, *plan.in_shape), np.uint8), DataError).shape[1:]
        if shape != plan.in_shape:
            raise DataError(f"transform: expected one that makes samples of shape {plan.in_shape}, got {shape}")
    return dataclasses.replace(plan, transform=transform)


# Of logits in a batch: float32 holds no larger one. Python's floats do, and one sample is to be answered as many are.
_LARGEST_DIFFERENCE = float(np.finfo(np.float32).max)
_NOTHING = object()  # not None, which somebody may give


class CompiledNet:
    """A network that answers. Several threads may call it at a time: each has buffers of its own.

    It is not copied or pickled: what an engine holds has addresses in it. Compile the net again, also in a process that
    was forked from this one, unless the engine is the native or the arrays engine.

    Attributes:
        plan: the `Plan` that it runs.
        engine: name of the engine.
        device: where it computes.
        measure: the `Measure` that says how sure an exit is; None where there is one exit.
        precision: of weights and activations.
    """

    def __init__(
        self, plan, engine="auto", device="cpu", threads=1, measure=ENTROPY, precision="f32", calibration=None
    ):
        if measure is not None:
            measure.check(plan.n_exits)
        self.plan, self.measure, self.device = plan, measure, get_device(device)
        self._is_on_gpu = self.device.xp is not np
        self._of_thread = threading.local()
        with self._device_in_use():
            self._engine = make_engine(engine, plan, self.device, threads, measure, precision, calibration)
            self._decides = hasattr(self._workspace(), "answers")
        self.precision = precision
        self.engine = self._engine.name
        # What CUDA has begun does not outlive a fork.
        self._process = None if self._engine.outlives_fork and not self._is_on_gpu else os.getpid()
        self._last = (_NOTHING, None)  # thresholds and the rule made of them
        # The shape of one sample, where an engine that decides itself takes it as it is; else of nothing.
        self._usual = (1, *plan.in_shape) if self._decides and plan.transform is None else _NOTHING
        self._current_gpu = self.device.xp.cuda.runtime.getDevice if self._is_on_gpu else None

    def run(self, x, thresholds) -> Answers:
        """Classifies samples, each leaving at the first exit that is sure enough of it.

        Args:
            x: (N, C, H, W) float32, or uint8 images if the net was compiled with a transform; on the host or on a
                GPU; any N, contiguous or not.
            thresholds: what `branchynet.thresholds.as_exit_rule` takes.

        Returns:
            `Answers`, in the order of the input; on the host if x is there, or if the engine is.

        Raises:
            NetworkError: x is of another type or shape, or holds numbers that are not finite; or logits are not.
            DataError: x is not uint8, where it should be.
            MeasureError: a score is NaN.
            ThresholdError: the thresholds do not fit the network's exits, or are percentages for an engine that
                decides for each sample.
        """
        last_thresholds, rule = self._last
        # One sample of the right form at the thresholds of the last call: to look further, to find that all is well,
        # would take as long as a layer of LeNet.
        if (
            thresholds is last_thresholds
            and type(x) is np.ndarray
            and x.dtype is FLOAT32
            and x.shape == self._usual
            and (self._process is None or self._is_here())
        ):
            return self._workspace().answers(x, rule)
        rule = self._rule(thresholds)
        return self._run(self._prepared(x), rule)

    def _is_here(self):
        """Whether this is the process that compiled the net for a GPU, and that GPU the current one."""
        return self._process == os.getpid() and self._current_gpu() == self.device.device.id

    def _run(self, x, rule):
        if self._process is not None and self._process != os.getpid():
            raise CompileError(f"engine {self.engine}: expected the process that compiled the net, got a fork of it")
        if self._decides and not isinstance(rule, Thresholds):
            raise ThresholdError(f"engine {self.engine}: expected thresholds, got percentages: arrays takes them")
        if not self._is_on_gpu:
            return self._answers(to_host(x), rule)
        with self._device_in_use():
            answers, send = self._answers(x, rule), to_host if isinstance(x, np.ndarray) else self.device.send
            return Answers(*[send(array) for array in answers])

    def _answers(self, x, rule):
        """The answers to a checked batch, where they were made."""
        if len(x) == 0:
            return Answers.empty(self.device.xp, 0, self.plan.n_classes)
        if self._decides:
            return self._workspace().answers(x, rule)
        # Looked at where it comes from: on the host that takes no wait for the GPU.
        check_finite(np if isinstance(x, np.ndarray) else self.device.xp, x)
        x = self.device.send(x)
        if len(x) == 1 and isinstance(rule, Thresholds):
            return self._run_one(x, rule)
        return leave_early(self.device.xp, x, self.plan.n_exits, self._workspace().run_segment, rule, self.measure)

    def thresholds_of_each_exit(self) -> list:
        """For each exit the thresholds at which every sample leaves there."""
        exits, lowest = range(self.plan.n_exits), self.measure.lowest
        return [tuple(inf if early == exit_index else lowest for early in exits[:-1]) for exit_index in exits]

    def record_exits(self, x, labels) -> ExitRecords:
        """What `branchynet.inference.record_exits` gives, as this engine computes in its precision.

        Args:
            x: as of `run`, N >= 1.
            labels: (N,) int32.

        Raises:
            MeasureError: the net is a plain one, which has no scores; and as of `run`.
        """
        if self.measure is None:
            raise MeasureError("record_exits: expected a net with a measure, got a plain one, which has no scores")
        x = self._prepared(x)
        labels = as_labels(labels, len(x), self.plan.n_classes, ThresholdError)
        exits = [self._run(x, self._rule(thresholds)) for thresholds in self.thresholds_of_each_exit()]
        logits = np.stack([to_host(answers.logits) for answers in exits])
        return ExitRecords.of(logits, labels, self.measure)

    def n_bytes(self) -> int:
        """Memory of weights and of this thread's buffers; 0 where the engine does not tell."""
        return self._engine.n_bytes() + self._workspace().n_bytes()

    def __reduce_ex__(self, protocol):
        """Called by copy and pickle."""
        raise CompileError("a compiled net cannot be copied or pickled: copy or save the net, and compile it again")

    def _device_in_use(self):
        """Which GPU is the current one belongs to each thread; behind this it is that of the caller again."""
        return self.device.device if self._is_on_gpu else contextlib.nullcontext()

    def _workspace(self):
        try:
            return self._of_thread.workspace
        except AttributeError:
            self._of_thread.workspace = self._engine.new_workspace()
            return self._of_thread.workspace

    def _rule(self, thresholds):
        # Callers give the same thresholds again and again; immutable ones need be looked at only once. Read and
        # written in one piece, for other threads do so too.
        last_thresholds, rule = self._last
        if thresholds is not last_thresholds:
            lowest = 0.0 if self.measure is None else self.measure.lowest
            rule = as_exit_rule(thresholds, self.plan.n_exits, lowest)
            # An array in a tuple may be changed in place.
            is_of_numbers = type(thresholds) is tuple and all(isinstance(T, numbers.Real) for T in thresholds)
            if is_of_numbers or isinstance(thresholds, (float, Thresholds)):
                self._last = (thresholds, rule)
        return rule

    def _prepared(self, x):
        """Samples of the right form, or images where the engine takes them."""
        transform = self.plan.transform
        if transform is not None and getattr(x, "dtype", None) != UINT8:
            raise DataError(f"expected uint8 images, got {describe(x)}")
        check_batch(x, FLOAT32 if transform is None else UINT8)
        if x.shape[1:] != self.plan.in_shape:
            raise NetworkError(f"expected samples of shape {self.plan.in_shape}, got {tuple(x.shape[1:])}")
        if self._is_on_gpu and not isinstance(x, np.ndarray) and x.device.id != self.device.device.id:
            x = self.device.send(x)
        if transform is None or self._engine.takes_pixels:
            return x
        with self._device_in_use():
            return transform(x)

    def _run_one(self, x, rule):
        """One sample: `leave_early` without the arrays of one.

        From a GPU one small array is read back at each exit, the logits: label and score follow from them in a
        microsecond or a few, and kernels for them would take longer.
        """
        measure, run_segment = self.measure, self._workspace().run_segment
        h, last, earlier = x, self.plan.n_exits - 1, ()
        for index in range(last + 1):
            logits, h = run_segment(index, h)
            values = logits[0].tolist()
            if not isfinite(sum(values)):
                check_logits(self.device.xp, index, logits)
            if measure is None:
                score = np.float32(np.nan)
            elif measure.score_of_one is not None and max(values) - min(values) <= _LARGEST_DIFFERENCE:
                score = np.float32(measure.score_of_one(index, values))
            else:
                score = measure.scores_after(index, to_host(logits), earlier)[0]
            if score != score and measure is not None:
                raise nan_score(measure, index)
            if index == last or rule.leaves(index, score):
                label_and_exit = np.array([values.index(max(values)), index], dtype=np.int32)
                return Answers(
                    label_and_exit[:1],
                    label_and_exit[1:],
                    np.array([score], dtype=np.float32),
                    to_host(logits).copy(),  # the engine writes into its own array again
                )
            if measure is not None and measure.needs_earlier_exits:
                earlier = (*earlier, to_host(logits).copy())

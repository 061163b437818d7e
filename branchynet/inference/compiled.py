"""The fast inference path: a net compiled into a plan, run by an engine."""

from __future__ import annotations

from math import isfinite

import numpy as np

from branchynet.confidence import ENTROPY, as_measure
from branchynet.devices import get_device
from branchynet.errors import CompileError, NetworkError
from branchynet.inference.arrays_engine import ArraysEngine
from branchynet.inference.onnxruntime_engine import OnnxRuntimeEngine, onnxruntime_problem
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.inference.reference import Answers, check_batch, leave_early
from branchynet.thresholds import EntropyThresholds, as_exit_rule

_NONE = object()  # what no caller gives as thresholds

ENGINES = ("auto", "arrays", "onnxruntime")


def compile(net, sample_shape, engine="auto", device="cpu", threads=1, measure=ENTROPY) -> CompiledNet:
    """Compiles a trained network for early-exit inference.

    Args:
        net: a `BranchyNet`; later changes to its weights do not reach the compiled one.
        sample_shape: shape of one sample, (C, H, W).
        engine: "arrays" (NumPy or CuPy), "onnxruntime" (needs the extra `onnx`; CPU), or "auto": the fastest that is
            installed.
        device: "cpu", "gpu" or "gpu:N".
        threads: of ONNX Runtime; the arrays engine computes in the caller's thread.
        measure: how sure an exit is: a `branchynet.confidence.Measure`, or the name of one; computed by NumPy or CuPy
            behind either engine.

    Raises:
        CompileError: a layer or an engine that cannot be had.
        DeviceError: a device that cannot be used.
        MeasureError: there is no such measure, or it is not fitted, or to another network.
    """
    return CompiledNet(make_plan(net, sample_shape), _make_engine(engine, device, threads), as_measure(measure))


def compile_plain(net, sample_shape, engine="auto", device="cpu", threads=1) -> CompiledNet:
    """Compiles the plain network, trunk and last exit, for the same engines: the same-engine baseline.

    Arguments and errors are those of `compile`; it has one exit, so no measure decides anything.
    """
    return CompiledNet(make_plain_plan(net, sample_shape), _make_engine(engine, device, threads))


class CompiledNet:
    """A network that answers.

    Attributes:
        plan: the `Plan` that it runs.
        engine: name of the engine.
        device: where it computes.
        measure: the `Measure` that says how sure an exit is.
    """

    def __init__(self, plan, engine, measure=ENTROPY):
        measure.check(plan.n_exits)
        self.plan, self.measure = plan, measure
        self._engine = engine
        self._score_of_one, self._keeps_earlier = measure.score_of_one, measure.needs_earlier_exits
        self.engine, self.device = engine.name, engine.device
        self._last_thresholds, self._last_rule = _NONE, None
        engine.load(plan)

    def run(self, x, thresholds) -> Answers:
        """Classifies samples, each leaving at the first exit that is sure enough of it.

        Args:
            x: (N, C, H, W) float32, on the host or on the device; any N, contiguous or not.
            thresholds: what `branchynet.thresholds.as_exit_rule` takes.

        Returns:
            `Answers`, in the order of the input, on the engine's device.

        Raises:
            NetworkError: x is of another type or shape, or holds numbers that are not finite.
            ThresholdError: the thresholds do not fit the network's exits.
        """
        rule = self._rule(thresholds)
        x = self._checked(x)
        if len(x) == 1 and isinstance(rule, EntropyThresholds):
            return self._run_one(x, rule.values)
        if len(x) == 0:
            return self._no_answers()
        return leave_early(self.device.xp, x, self.plan.n_exits, self._engine.run_segment, rule, self.measure)

    def n_bytes(self) -> int:
        """Memory of the prepared buffers; 0 where the engine does not tell."""
        return self._engine.n_bytes()

    def _rule(self, thresholds):
        # Callers give the same thresholds again and again; immutable ones need be looked at only once.
        if thresholds is not self._last_thresholds:
            self._last_rule = as_exit_rule(thresholds, self.plan.n_exits, self.measure.lowest)
            self._last_thresholds = thresholds if isinstance(thresholds, (float, tuple, EntropyThresholds)) else _NONE
        return self._last_rule

    def _checked(self, x):
        check_batch(x)
        if x.shape[1:] != self.plan.in_shape:
            raise NetworkError(f"expected samples of shape {self.plan.in_shape}, got {tuple(x.shape[1:])}")
        # Looked at where it comes from: on the host that takes no wait for the GPU. NaN or infinity makes the sum of
        # squares one too, which costs little to know; where that only overflowed, each number is looked at.
        xp, flat = (np if isinstance(x, np.ndarray) else self.device.xp), x.ravel()
        if not (isfinite(xp.dot(flat, flat)) or xp.isfinite(flat).all()):
            raise NetworkError("expected finite numbers, got NaN or infinity")
        return self.device.send(x)

    def _no_answers(self):
        xp = self.device.xp
        integers, floats = xp.empty(0, np.int32), xp.empty(0, np.float32)
        return Answers(integers, integers.copy(), floats, xp.empty((0, self.plan.n_classes), np.float32))

    def _run_one(self, x, thresholds):
        """One sample. The rule is `EntropyThresholds.leaves`, written out for a plain number.

        From a GPU one small array is read back at each exit, the logits: label and score follow from them in a
        microsecond or a few, and kernels for them would take longer.
        """
        xp, score_of_one, keeps_earlier = self.device.xp, self._score_of_one, self._keeps_earlier
        h, last, earlier = x, self.plan.n_exits - 1, ()
        for index in range(last + 1):
            logits, h = self._engine.run_segment(index, h)
            values = logits[0].tolist()
            score = score_of_one(index, values, earlier)
            if index == last or score < thresholds[index]:
                label_and_exit = xp.array([values.index(max(values)), index], dtype=np.int32)
                return Answers(
                    label_and_exit[:1],
                    label_and_exit[1:],
                    xp.array([score], dtype=np.float32),
                    logits.copy(),  # the engine writes into its own array again
                )
            if keeps_earlier:
                earlier = (*earlier, values)


def _make_engine(engine, device, threads):
    if engine not in ENGINES:
        raise CompileError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    device = get_device(device)
    on_gpu = device.xp is not np
    problem = onnxruntime_problem()
    if engine == "onnxruntime" and problem:
        raise CompileError(problem)
    if engine == "onnxruntime" and on_gpu:
        raise CompileError("the onnxruntime engine computes on the CPU; on a GPU take the arrays engine")
    if engine == "arrays" or (engine == "auto" and (problem or on_gpu)):
        return ArraysEngine(device)
    return OnnxRuntimeEngine(device, threads)

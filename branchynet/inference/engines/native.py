"""The native engine: the plan as C with the exit inside. One call answers one sample, or a batch.

It needs a C compiler (`branchynet.machine.compilers`), and computes on the CPU.
"""

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from branchynet.errors import NetworkError
from branchynet.inference.engines import Engine
from branchynet.inference.native.program import Program
from branchynet.inference.native.source import whole_source
from branchynet.inference.reference import LARGEST, Answers, nan_score
from branchynet.machine.compilers import compiler_problem, load_library, pointer
from branchynet.thresholds.rule import as_float32

_CACHE_LINE_BYTES = 64


class NativeEngine(Engine):
    """The plan as C; it decides itself who leaves, by a measure that the kernels know. A batch is dealt out to threads.

    Raises:
        CompileError: an operation or a measure that the kernels do not know, or the compiler fails.
    """

    name = "native"
    rank = 0
    outlives_fork = True

    def __init__(self, plan, device, threads, measure, precision, calibration):
        self.plan, self.threads, self.measure = plan, threads, measure
        program = Program(plan)
        self.weights = _aligned(len(program.weights))
        self.weights[...] = program.weights
        self.workspace_floats = sum(program.buffers.values())
        library = load_library(whole_source(program, measure))
        self.classify, self.classify_one = library.branchynet_classify, library.branchynet_classify_one
        self.prepare = library.branchynet_prepare
        self._pools = {}
        self._of_pool_thread = threading.local()

    @classmethod
    def problem(cls, device):
        """What is missing, a compiler that works for instance, as text; None if nothing is."""
        return super().problem(device) or compiler_problem()

    def new_workspace(self):
        """Buffers for one thread."""
        return _Workspace(self)

    def n_bytes(self) -> int:
        """Memory of the weights."""
        return self.weights.nbytes

    def pool(self):
        """The threads of this process that a batch is dealt out to; a fork has none of its parent's."""
        process = os.getpid()
        if process not in self._pools:
            self._pools = {process: ThreadPoolExecutor(self.threads, "branchynet-native")}
        return self._pools[process]

    def fill(self, x, thresholds, answers, part) -> None:
        """`_Workspace.fill` of the rows of a slice, in a thread of the pool, which keeps its workspace."""
        if not hasattr(self._of_pool_thread, "workspace"):
            self._of_pool_thread.workspace = _Workspace(self)
        self._of_pool_thread.workspace.fill(x, thresholds, answers, part)


class _Workspace:
    """Buffers of the C code, and a sample's answer at places that it knows."""

    def __init__(self, engine):
        self._engine, plan = engine, engine.plan
        self._classify, self._classify_one = engine.classify, engine.classify_one
        self._memory = _aligned(engine.workspace_floats)
        engine.prepare(pointer(self._memory))
        self._sample = np.zeros((1, *plan.in_shape), np.float32)
        self._thresholds = np.zeros(plan.n_exits, np.float32)
        self._rule = None
        self._answer = Answers.empty(np, 1, plan.n_classes)
        # Addresses that never change: making them anew would take longer than many a layer.
        arrays = (self._memory, engine.weights, self._sample, self._thresholds, *self._answer)
        self._pointers = (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])
        self._arguments = ctypes.byref(self._pointers)

    def n_bytes(self) -> int:
        """Memory of the buffers."""
        return self._memory.nbytes

    def answers(self, x, rule) -> Answers:
        """See `branchynet.inference.engines`."""
        if rule is not self._rule:
            self._thresholds[: len(rule.values)] = as_float32(rule.values)
            self._rule = rule
        if len(x) != 1:
            return self._answers_of_batch(np.ascontiguousarray(x))
        self._sample[...] = x
        if self._classify_one(self._arguments) != 1:
            raise self._refusal(x, 0, self._answer)
        labels, exits, scores, logits = self._answer
        # Not Answers(...), which takes as long as two of the copies.
        return tuple.__new__(Answers, (labels.copy(), exits.copy(), scores.copy(), logits.copy()))

    def _answers_of_batch(self, x):
        n = len(x)
        answers = Answers.empty(np, n, self._engine.plan.n_classes)
        if self._engine.threads == 1 or n < 2 * self._engine.threads:
            self.fill(x, self._thresholds, answers, slice(0, n))
            return answers
        bounds = np.linspace(0, n, self._engine.threads + 1).astype(int)
        parts = [slice(start, stop) for start, stop in zip(bounds[:-1], bounds[1:])]
        # map, not submit: the error of the first part that has one comes out.
        list(self._engine.pool().map(lambda part: self._engine.fill(x, self._thresholds, answers, part), parts))
        return answers

    def fill(self, x, thresholds, answers, part) -> None:
        """Classifies the rows of a slice of a contiguous batch into those of arrays that are there.

        Raises:
            NetworkError: a number is not finite.
            MeasureError: a score is NaN.
        """
        samples, pointers = x[part], [pointer(array[part]) for array in answers]
        arguments = (pointer(samples), ctypes.c_int(len(samples)), pointer(thresholds), *pointers)
        n = self._classify(pointer(self._memory), pointer(self._engine.weights), *arguments)
        if n != len(samples):
            raise self._refusal(x, part.start + n, answers)

    def _refusal(self, x, n, answers):
        """Why sample n of a batch was not answered."""
        if not (np.abs(x[n]) <= LARGEST).all():
            return NetworkError(f"expected numbers of at most {LARGEST:g}, got NaN or infinity in sample {n}")
        if np.isnan(answers.scores[n]):
            return nan_score(self._engine.measure, answers.exits[n])
        return NetworkError(f"expected finite logits, got NaN or infinity for sample {n}: it is too large")


def _aligned(n_floats):
    """float32 from the beginning of a cache line on: a vector that lies across two takes two loads."""
    memory = np.zeros(4 * n_floats + _CACHE_LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE_BYTES
    return memory[start : start + 4 * n_floats].view(np.float32)


ENGINE = NativeEngine

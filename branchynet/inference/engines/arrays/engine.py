"""Runs a plan with programs on arrays (`programs`), on NumPy and CuPy alike, in the caller's thread."""

import functools

import numpy as np

from branchynet.inference.engines import Engine
from branchynet.inference.engines.arrays.product import matrix_product
from branchynet.inference.engines.arrays.programs import Program, Scratch
from branchynet.machine.cuda_graph import captured

# On the CPU a program works on so few samples at a time that its buffers stay in the cache; a GPU wants many.
MAX_SAMPLES_CPU = 32
MAX_SAMPLES_GPU = 1024
CACHE_BYTES = 1 << 21


class ArraysEngine(Engine):
    """NumPy or CuPy; they compute the measure, too, and matrix products take the threads of BLAS.

    Weights are kept once, on the device, whatever the number of workspaces.
    """

    name = "arrays"
    rank = 20
    outlives_fork = True

    def __init__(self, plan, device, threads, measure, precision, calibration):
        self.plan, self.device = plan, device
        self.constants = {}

    @classmethod
    def problem(cls, device):
        """None: it computes on every device."""

    def new_workspace(self):
        """Programs for one thread."""
        return _Workspace(self)

    def n_bytes(self) -> int:
        """Memory of the weights on the device."""
        return sum(array.nbytes for array in self.constants.values())


class _Workspace:
    """Programs for 1, 2, 4, ... samples, made when they are first needed; a batch is cut into such pieces."""

    def __init__(self, engine):
        self.engine, self.plan, self.device = engine, engine.plan, engine.device
        self._programs = {}
        self._scratch = Scratch(self.device.xp)
        source = None
        for index in range(self.plan.n_exits):
            source = self._program(index, 1, source).trunk.result
        self._max_samples = [self._most_samples(index) for index in range(self.plan.n_exits)]

    def n_bytes(self) -> int:
        """Memory of the buffers of all programs made so far."""
        return self._scratch.n_bytes() + sum(program.n_bytes() for program in self._programs.values())

    def run_segment(self, index, h):
        """See `branchynet.inference.engines`."""
        if len(h) == 1:
            return self._program(index, 1).run(h)
        segment = self.plan.segments[index]
        logits = self.device.xp.empty((len(h), self.plan.n_classes), np.float32)
        result = self.device.xp.empty((len(h), *segment.out_shape), np.float32)
        start = 0
        while start < len(h):
            n_samples = min(self._max_samples[index], self._program_size(len(h) - start))
            part = slice(start, min(start + n_samples, len(h)))
            found = self._program(index, n_samples).run(h[part])
            logits[part], result[part] = (array[: part.stop - start] for array in found)
            start += n_samples
        return logits, result

    def _program_size(self, n_left):
        """A power of 2: as many samples as are left, or fewer; on a GPU or more, for launches cost more than rows that
        nobody reads."""
        return 1 << (n_left.bit_length() - 1 if self.device.xp is np else (n_left - 1).bit_length())

    def _most_samples(self, index):
        """How many samples, a power of 2, a program of this segment works on at a time."""
        if self.device.xp is not np:
            return MAX_SAMPLES_GPU
        sample_bytes = self._scratch.n_bytes() + self._program(index, 1).n_bytes()
        return min(MAX_SAMPLES_CPU, 1 << max(CACHE_BYTES // sample_bytes, 1).bit_length() - 1)

    def _program(self, index, n_samples, source=None):
        key = (index, n_samples)
        if key not in self._programs:
            segment = self.plan.segments[index]
            self._programs[key] = _SegmentProgram(self.engine, segment, n_samples, self._scratch, source)
        return self._programs[key]


class _SegmentProgram:
    """Trunk piece and head of one segment, for a fixed number of samples.

    On a GPU the kernels for one sample are one CUDA graph; for many samples launches matter less than cuBLAS does.

    Args:
        engine: `ArraysEngine`, which keeps the weights.
        scratch: `Scratch` of the workspace.
        source: an array that the segment may read its input from in place: the result of the segment before.
    """

    def __init__(self, engine, segment, n_samples, scratch, source=None):
        xp = self.xp = engine.device.xp
        self.source = xp.zeros((n_samples, *segment.in_shape), np.float32) if source is None else source
        is_graph = xp is not np and n_samples == 1
        matmul = functools.partial(matrix_product, xp) if is_graph else xp.matmul
        self.trunk = Program(xp, segment.trunk, self.source, scratch, engine.constants, matmul)
        self.head = Program(xp, segment.head, self.trunk.result, scratch, engine.constants, matmul)
        self.calls = self.trunk.calls + self.head.calls
        if is_graph:
            self.calls = captured(xp, self.calls)

    def run(self, h):
        if h is not self.source:
            self.xp.copyto(self.source[: len(h)], h)
        for call in self.calls:
            call()
        return self.head.result, self.trunk.result

    def n_bytes(self):
        return self.source.nbytes + self.trunk.n_bytes() + self.head.n_bytes()

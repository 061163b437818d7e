"""The cuda engine: the plan as CUDA C with the exits inside. One launch answers one sample, or a batch.

The kernels are those of `branchynet.inference.cuda`. CuPy compiles and launches them; where a batch is many launches,
all but the first are one CUDA graph.
"""

from __future__ import annotations

import math
import os

import numpy as np

from branchynet.errors import NetworkError
from branchynet.inference.cuda.program import Program
from branchynet.inference.cuda.source import (
    MOST_SAMPLES,
    fits_block,
    kernel_names,
    launches,
    takes_pixels,
    whole_source,
)
from branchynet.inference.engines import Engine
from branchynet.inference.reference import LARGEST, Answers, nan_score
from branchynet.machine.cuda_graph import captured
from branchynet.thresholds.rule import as_float32

_OPTIONS = ("--std=c++14",)
# Blocks that a kernel gets at most. A debugger or an emulator that runs one block after another needs 1, or the grid's
# barrier waits for ever.
BLOCKS_VARIABLE = "BRANCHYNET_GPU_BLOCKS"
# Looks at the answer's number before the host waits as CUDA does: about a millisecond.
_N_LOOKS = 20_000
_FLOAT_BYTES = 4
# Numbers of the samples that a large network takes at a time: its kernels count their tiles in 32 bits.
_MOST_NUMBERS = 1 << 30
# Room for a batch of a large network grows in steps of so many samples, for each size has a graph of its own.
_STEP = 64
# What host and GPU tell each other: see kernels.cuh.
_REQUEST, _ANSWERED, _BAD_SAMPLE, _BAD_LOGITS, _BAD_SCORE = range(5)
_MAX_REQUEST = 1 << 30


class CudaEngine(Engine):
    """The plan as CUDA C; it decides itself who leaves, by a measure that the kernels know.

    Its device, a GPU, is in use; threads are not used.

    Raises:
        CompileError: an operation or a measure that the kernels do not know.
    """

    name = "cuda"
    rank = 10

    def __init__(self, plan, device, threads, measure, precision, calibration):
        self.plan, self.device, self.measure = plan, device, measure
        program = Program(plan)
        self.fits_block = fits_block(program)
        self.of_one, self.of_batch = launches(program)
        self.takes_pixels = takes_pixels(plan)
        self.weights = device.xp.asarray(program.weights)
        self.one, self.batch = kernel_names(program)
        module = device.xp.RawModule(code=whole_source(program, measure), options=_OPTIONS)
        kernels = {name: module.get_function(name) for name in dict.fromkeys((self.one, *self.batch))}
        for name, launch in ((self.one, self.of_one), *((name, self.of_batch) for name in self.batch)):
            kernels[name].max_dynamic_shared_size_bytes = _FLOAT_BYTES * launch.shared_floats
        self.kernels = {name: kernel.kernel for name, kernel in kernels.items()}
        attributes = device.device.attributes
        # What shared memory does not need is cache: of a lone block, for the weights that it fetches.
        share = _FLOAT_BYTES * self.of_one.shared_floats / attributes["MaxSharedMemoryPerMultiprocessor"]
        kernels[self.one].preferred_shared_memory_carveout = math.ceil(100 * share)
        self.n_multiprocessors = attributes["MultiProcessorCount"]
        self.most_blocks = int(os.environ.get(BLOCKS_VARIABLE, 1 << 20))
        # Of a kernel for batches: as many as run at the same time, whichever of them it is.
        blocks_each = min(self._blocks_each(self.kernels[name]) for name in self.batch)
        self.blocks_of_batch = min(self.n_multiprocessors * blocks_each, self.most_blocks)
        self.most_samples = max(1, min(MOST_SAMPLES, _MOST_NUMBERS // program.n_floats))

    @classmethod
    def problem(cls, device):
        """Why it cannot compute there, as text; None on a GPU since Volta."""
        if device.xp is np:
            return "the cuda engine computes on a GPU; on the CPU take another"
        capability = int(device.device.compute_capability)
        if capability < 70:  # older ones have no __nanosleep
            return f"the cuda engine needs a GPU of compute capability 7.0 or above, got {capability / 10:.1f}"
        return None

    def _blocks_each(self, kernel):
        """Blocks of a kernel for batches that a multiprocessor can hold at a time."""
        driver, shared_bytes = self.device.xp.cuda.driver, _FLOAT_BYTES * self.of_batch.shared_floats
        threads = self.of_batch.team.block
        return max(1, driver.occupancyMaxActiveBlocksPerMultiprocessor(kernel.ptr, threads, shared_bytes))

    def new_workspace(self):
        """Buffers for one thread."""
        return _Workspace(self)

    def n_bytes(self) -> int:
        """Memory of the weights."""
        return self.weights.nbytes

    def launch_one(self, arguments, stream=None, n=1):
        """Starts the kernel for one sample, or for n where a block has one, on a stream of CuPy; by default on the
        current one."""
        blocks = min(n if self.fits_block else self.n_multiprocessors, self.most_blocks)
        shared_bytes = _FLOAT_BYTES * self.of_one.shared_floats
        # Cooperative: all blocks run at the same time, or none.
        cooperative, threads = not self.fits_block, self.of_one.team.block
        self.kernels[self.one]((blocks,), (threads,), arguments, shared_bytes, stream, cooperative)

    def launch_batch(self, names, arguments, blocks):
        """Starts kernels for batches, on the current stream."""
        for name in names:
            shared_bytes = _FLOAT_BYTES * self.of_batch.shared_floats
            self.kernels[name]((blocks,), (self.of_batch.team.block,), arguments, shared_bytes)


class _Workspace:
    """Memory of one thread's requests.

    For one sample, sample and answer lie in memory of the host that the GPU reads and writes, and one graph with fixed
    arguments is launched. The host looks at the number of the answer until it is that of the request: a copy, or a wait
    by CUDA's means, would take longer than the network.
    """

    def __init__(self, engine):
        self._engine, plan, xp = engine, engine.plan, engine.device.xp
        self._row_size, self._dtype = 3 + plan.n_classes, np.uint8 if engine.takes_pixels else np.float32
        shapes = [(1, *plan.in_shape), (plan.n_exits,), (1, self._row_size), (5,)]
        self._sample, self._thresholds, self._row, self._messages = _pinned(
            xp, shapes, (self._dtype, np.float32, np.int32, np.int32)
        )
        self._seen = memoryview(self._messages)
        self._device_thresholds = xp.zeros(plan.n_exits, np.float32)
        # Of its own: the graph for one sample holds the address, so a larger batch must not replace it.
        self._memory_of_one = xp.empty(engine.of_one.memory_floats, np.float32)
        # Of a large network's batch: its numbers, its answers, and its layers as one graph, which holds the addresses.
        self._memory = xp.empty((0, engine.of_batch.memory_floats), np.float32)
        self._rows, self._layers = xp.empty((MOST_SAMPLES, self._row_size), np.int32), None
        # Where samples of the host are put, in turn, and where they are sent from there.
        self._stagings, self._sent = [], xp.empty((0, *plan.in_shape), self._dtype)
        self._lists = xp.zeros(plan.n_exits * (1 + MOST_SAMPLES), np.int32)
        self._arrived = xp.zeros(1, np.uint64)
        self._rule, self._are_on_device, self._request = None, False, 0
        arguments = self._arguments(self._sample, 1, self._thresholds, self._memory_of_one, self._row)
        self._stream = xp.cuda.Stream(non_blocking=True)
        (self._launch,) = captured(xp, [lambda *stream: engine.launch_one(arguments, *stream)])
        # Not the whole device: another thread may be capturing.
        xp.cuda.get_current_stream().synchronize()
        self._messages[_BAD_SAMPLE:] = 0  # of the sample of zeros that the kernel was tried with

    def n_bytes(self) -> int:
        """Memory of the buffers, on the GPU and on the host."""
        on_device = (self._memory_of_one, self._memory, self._rows, self._lists, self._device_thresholds, self._sent)
        stagings = [array for array, _ in self._stagings]
        return sum(array.nbytes for array in (*on_device, *stagings, self._sample, self._row))

    def answers(self, x, rule) -> Answers:
        """See `branchynet.inference.engines`; x is uint8 where the engine `takes_pixels`, and may be on the GPU: there
        the answers are then, too."""
        if rule is not self._rule:
            self._thresholds[: len(rule.values)] = as_float32(rule.values)
            self._rule, self._are_on_device = rule, False
        is_one = len(x) == 1 and isinstance(x, np.ndarray)
        try:
            return self._answer(x) if is_one else self._answers_of_batch(x)
        except BaseException:  # an interruption, too: what is still running must not tell of a later request
            stream = self._stream if is_one else self._engine.device.xp.cuda.get_current_stream()
            stream.synchronize()
            self._messages[_BAD_SAMPLE:] = 0
            raise

    def _answer(self, x):
        self._sample[...] = x
        self._request = request = self._request % _MAX_REQUEST + 1
        self._messages[_REQUEST] = request
        self._launch(self._stream)
        seen = self._seen
        for _ in range(_N_LOOKS):
            if seen[_ANSWERED] == request:
                break
        else:
            self._stream.synchronize()
            if seen[_ANSWERED] != request:
                raise RuntimeError("expected an answer of the GPU, got none")
        if seen[_BAD_SAMPLE] or seen[_BAD_LOGITS] or seen[_BAD_SCORE]:
            self._check()
        return _as_answers(self._row.copy())

    def _answers_of_batch(self, x):
        engine, xp = self._engine, self._engine.device.xp
        if not self._are_on_device:
            self._device_thresholds.set(self._thresholds)
            self._are_on_device = True
        is_on_host, rows = isinstance(x, np.ndarray), xp.empty((len(x), self._row_size), np.int32)
        step = engine.most_samples if is_on_host or not engine.fits_block else len(x)
        self._make_room(min(len(x), step), is_on_host)
        samples = x if is_on_host else xp.ascontiguousarray(x)
        for number, start in enumerate(range(0, len(x), step)):
            part = samples[start : start + step]
            if is_on_host:
                part = self._send(part, *self._stagings[number % 2])
            self._start(part, rows[start : start + step])
        if is_on_host:
            rows = rows.get()
        else:
            xp.cuda.get_current_stream().synchronize()
        self._check()
        return _as_answers(rows)

    def _make_room(self, n, is_on_host):
        """For n samples at a time."""
        engine, xp = self._engine, self._engine.device.xp
        if not engine.fits_block and len(self._memory) < n:
            n_or_more = min(-(-n // _STEP) * _STEP, engine.most_samples)
            memory = xp.empty((n_or_more, engine.of_batch.memory_floats), np.float32)
            self._lists[...] = 0  # no sample is on its way when the layers are launched for the graph
            arguments = self._arguments(self._sample, 0, self._device_thresholds, memory, self._rows)
            layers = captured(xp, [lambda: engine.launch_batch(engine.batch[1:], arguments, engine.blocks_of_batch)])
            self._memory, (self._layers,) = memory, layers  # both or, if that was interrupted, neither
        if is_on_host and len(self._sent) < n:
            self._sent = xp.empty((n, *engine.plan.in_shape), self._dtype)
            arrays = _pinned(xp, [self._sent.shape] * 2, [self._dtype] * 2)
            self._stagings = [(array, xp.cuda.Event(disable_timing=True)) for array in arrays]

    def _start(self, samples, rows):
        """Starts what answers samples on the GPU; rows: for the answers."""
        engine, n = self._engine, len(samples)
        arguments = self._arguments(samples, n, self._device_thresholds, self._memory, rows)
        if not engine.fits_block:
            engine.launch_batch(engine.batch[:1], arguments, engine.blocks_of_batch)
            self._layers()
            rows[...] = self._rows[:n]
        elif n <= engine.n_multiprocessors:
            engine.launch_one(arguments, n=n)
        else:
            engine.launch_batch(engine.batch, arguments, min(n, engine.blocks_of_batch))

    def _send(self, samples, staging, event):
        """Samples of the host, sent to the GPU: while it takes one part, the host puts the next beside it.

        CUDA would copy them to memory of this kind itself, but let the host wait for the end.
        """
        event.synchronize()  # what lay there before has been sent
        n = len(samples)
        staging[:n] = samples
        self._sent[:n].set(staging[:n], stream=self._engine.device.xp.cuda.get_current_stream())
        event.record()
        return self._sent[:n]

    def _arguments(self, samples, n, thresholds, memory, rows):
        """In the order of the kernels' parameters."""
        arrays = (samples, thresholds, memory, self._lists, self._arrived, rows, self._messages)
        samples, thresholds, *others = [_address(array) for array in arrays]
        return (_address(self._engine.weights), samples, np.int32(n), thresholds, *others)

    def _check(self):
        bad_sample, bad_logits, bad_score = self._messages[_BAD_SAMPLE:].tolist()
        self._messages[_BAD_SAMPLE:] = 0
        if bad_sample:
            raise NetworkError(f"expected numbers of at most {LARGEST:g}, got NaN or infinity, or a larger one")
        if bad_logits:
            raise NetworkError("expected finite logits, got NaN or infinity: a sample is too large")
        if bad_score:
            raise nan_score(self._engine.measure, bad_score - 1)


def _pinned(xp, shapes, dtypes):
    """Arrays of zeros in memory of the host that the GPU reads and writes; each begins with a cache line."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    starts = np.cumsum([0, *[-(-_FLOAT_BYTES * size // 64) * 64 for size in sizes]])
    memory = xp.cuda.alloc_pinned_memory(int(starts[-1]))
    arrays = [
        np.frombuffer(memory, dtype, size, int(start)).reshape(shape)
        for shape, dtype, size, start in zip(shapes, dtypes, sizes, starts)
    ]
    for array in arrays:
        array[...] = 0
    return arrays


def _address(array):
    """Where an array's numbers begin, as an argument of a kernel; pinned memory has one address for host and GPU."""
    return np.uintp(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def _as_answers(rows):
    """`Answers` as views of the kernels' rows, which are nobody else's: label, exit, the score's bits, the logits'."""
    floats = rows.view(np.float32)
    return Answers(rows[:, 0], rows[:, 1], floats[:, 2], floats[:, 3:])


ENGINE = CudaEngine

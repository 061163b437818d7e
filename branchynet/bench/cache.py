"""The cache's part in early exit (paper, Fig. 6): the processor's counters where it has them, else a model of its use.

Counters are those of Linux's `perf_event_open`. Many virtual machines have none, and an administrator may forbid them;
then there is nothing to count, and what is modelled must be called so.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import struct

from branchynet.inference.operations import Residual

LINE_BYTES = 64
_SYSCALL = {"x86_64": 298, "aarch64": 241}
# name: (type, config) of linux/perf_event.h: misses of the last level; misses of reads in the first level for data.
_EVENTS = {"last level": (0, 3), "level 1": (3, 1 << 16)}
_ATTRIBUTE_BYTES = 64  # the first version of struct perf_event_attr, which all kernels know
_NOT_KERNEL_NOR_HYPERVISOR = 1 << 5 | 1 << 6


@contextlib.contextmanager
def counters():
    """Counts the cache misses of this thread while the block runs, in what it computes itself.

    Yields:
        () -> {level: misses so far}; always {} where the machine has no such counters.
    """
    files = {name: file for name, event in _EVENTS.items() if (file := _open_counter(*event)) is not None}
    try:
        yield lambda: {name: struct.unpack("Q", os.read(file, 8))[0] for name, file in files.items()}
    finally:
        for file in files.values():
            os.close(file)


def _open_counter(kind, config):
    """The file of one counter, which runs from now on; None where there is none."""
    number = _SYSCALL.get(platform.machine()) if platform.system() == "Linux" else None
    if number is None:
        return None
    head = struct.pack("IIQQQQQ", kind, _ATTRIBUTE_BYTES, config, 0, 0, 0, _NOT_KERNEL_NOR_HYPERVISOR)
    attribute = ctypes.create_string_buffer(head, _ATTRIBUTE_BYTES)
    this_thread, any_core, no_group = 0, -1, -1
    file = ctypes.CDLL(None).syscall(number, attribute, this_thread, any_core, no_group, ctypes.c_ulong(0))
    return file if file >= 0 else None


def count_misses(answer, samples) -> dict:
    """Cache misses of a sample, as the processor counts them; {} where it has no counters.

    Args:
        answer: function of one sample.
        samples: sequence of samples.
    """
    with counters() as read:
        before = read()
        for sample in samples:
            answer(sample)
        return {name: (count - before[name]) / len(samples) for name, count in read().items()}


def modelled_misses(plan, exits, cache_bytes) -> float:
    """Cache lines a sample that a cache would not hold, by a model: no measurement.

    The cache is fully associative and drops what was used least recently. Every operation goes once through its input,
    its weights and its result; ReLU is in place. Samples come one after another, each at a new address. A buffer is
    found in the cache if it and all that was touched since its last use fit together.

    Args:
        plan: `branchynet.inference.plan.Plan`.
        exits: (N,) integers, N >= 1, the exit that each sample takes, 0 for the first.
        cache_bytes: size of the cache.
    """
    paths = [_buffers(plan, exit_index) for exit_index in range(plan.n_exits)]
    recent, missed = {}, 0  # {buffer: bytes}, the least recently used first
    for number, exit_index in enumerate(exits):
        for name, size in paths[exit_index]:
            name = (name, number) if name == "sample" else name
            missed += 0 if _is_held(recent, name, size, cache_bytes) else math.ceil(size / LINE_BYTES)
            recent.pop(name, None)
            recent[name] = size
    return missed / len(exits)


def _is_held(recent, name, size, cache_bytes):
    if name not in recent:
        return False
    touched = size
    for other, other_size in reversed(recent.items()):
        if other == name or touched > cache_bytes:
            break
        touched += other_size
    return touched <= cache_bytes


def _buffers(plan, exit_index):
    """(name, bytes) of all buffers that a sample leaving at an exit touches, in order."""
    touched, name, shape = [], "sample", plan.in_shape
    for number, segment in enumerate(plan.segments[: exit_index + 1]):
        trunk, trunk_name, trunk_shape = _of_operations(segment.trunk, f"{number} trunk", name, shape)
        head, _, _ = _of_operations(segment.head, f"{number} head", trunk_name, trunk_shape)
        touched += trunk + head
        name, shape = trunk_name, trunk_shape
    return touched


def _of_operations(operations, prefix, name, shape):
    """(buffers touched in order, name of the last result, its shape) of a sequence of operations."""
    touched = []
    for index, operation in enumerate(operations):
        result, source, out_shape = f"{prefix} {index}", (name, _n_bytes(shape)), operation.out_shape(shape)
        if isinstance(operation, Residual):
            body, _, _ = _of_operations(operation.body, result, name, shape)
            touched += [*body, source, (result, _n_bytes(out_shape))]
        elif vars(operation) or out_shape != shape:
            weights = sum(array.nbytes for array in vars(operation).values() if hasattr(array, "nbytes"))
            touched += [source, *([(f"{result} weights", weights)] if weights else []), (result, _n_bytes(out_shape))]
        else:  # ReLU
            continue
        name, shape = result, out_shape
    return touched, name, shape


def _n_bytes(shape):
    return 4 * math.prod(shape)

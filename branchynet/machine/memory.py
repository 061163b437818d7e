"""The memory that the fast CPU functions compute in: buffers that are used again, and chunks that stay in the cache."""

from __future__ import annotations

import ctypes
import math
import platform
import threading

import numpy as np

# A chunk, with its inputs and results, should stay in a core's second-level cache: that is 2 MiB in server cores since
# 2023, and 1 MiB in those before them.
CHUNK_BYTES = 1 << 20
# Up to so many multiply-adds, OpenBLAS (AVX-512) multiplies matrices without packing them first. That is up to twice as
# fast where one side is short, unless the chunks shrink to a few samples for it.
SMALL_PRODUCT = 1_000_000
_FEW_SAMPLES = 4
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_LARGEST_INT = 2**31 - 1

_scratch = threading.local()


def chunks(start: int, stop: int, sample_bytes: int, sample_product: int = 0) -> list:
    """The samples [start, stop) in chunks, as slices: as many samples as fit into `CHUNK_BYTES`.

    Args:
        sample_bytes: bytes that the work on one sample touches.
        sample_product: multiply-adds of the product of matrices for one sample, if there is one.
    """
    step = max(1, CHUNK_BYTES // max(sample_bytes, 1))
    if fits_small_product(sample_product):
        step = min(step, SMALL_PRODUCT // max(sample_product, 1))
    return [slice(first, min(first + step, stop)) for first in range(start, stop, step)]


def fits_small_product(sample_product: int) -> bool:
    """Whether products for several samples at once are still small ones; sample_product: multiply-adds for one."""
    return _FEW_SAMPLES * sample_product <= SMALL_PRODUCT


def scratch(name: str, shape, dtype):
    """An array for intermediate values, which belongs to this thread and is re-used from call to call.

    Its contents are arbitrary. A thread keeps one buffer for each name, as large as the largest that was asked for, so
    memory does not grow with the number of calls.
    """
    buffers = _scratch.__dict__
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if name not in buffers or buffers[name].nbytes < n_bytes:
        buffers[name] = np.empty(n_bytes, dtype=np.uint8)
    return buffers[name][:n_bytes].view(dtype).reshape(shape)


def keep_freed_memory() -> None:
    """Has this process keep the memory that it frees, from now on, where the C library is glibc.

    Every step of a training allocates the same arrays. By default the large ones go back to the system each time, and
    the system has to clear their pages again. The settings are those of `mallopt`, for the whole process.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)

"""The C kernels of training (`kernels.c` and others), compiled once for this machine and called on parts of a batch."""

import ctypes
import functools
import itertools
import os
import pathlib
import warnings

import chainer
import numpy as np

from branchynet.errors import CompileError
from branchynet.machine import threads
from branchynet.machine.compilers import TEAM, VECTORS, WINOGRAD, load_library

_NAMES = ("kernels.c", "convolution.c", "tiles.c", "pooling.c", "normalisation.c")
_SOURCES = [pathlib.Path(__file__).with_name(name) for name in _NAMES]

chainer.global_config.branchynet_plain_chainer = False


def plain_chainer():
    """A context in which the functions of this package are Chainer's own, as in the paper: for comparison."""
    return chainer.using_config("branchynet_plain_chainer", True)


def computes_here(x) -> bool:
    """Whether the kernels compute with x, an array or Variable: float32 on the CPU, there is a C compiler, and nobody
    asked for Chainer's own functions."""
    array = chainer.as_array(x)
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or chainer.config.branchynet_plain_chainer:
        return False
    return _library() is not None


def vector_width() -> int:
    """Numbers in a vector of the kernels."""
    return _library().branchynet_width()


def call_strips(name, n_samples, *arguments, sums=()) -> list:
    """Calls a kernel on the strips of a batch, shared out to the threads.

    Args:
        name: of the C function, without its prefix.
        n_samples: of the batch.
        arguments: what the kernel is given: contiguous arrays of the whole batch, whole numbers, C structures, or None
            for no array.
        sums: shape and dtype of each array that the kernel adds to, at most three. Each strip has its own, of zeros
            at first.

    Returns:
        for each of `sums`, an array (strips, *shape), in the order of the strips.

    Raises:
        MemoryError: a kernel finds no memory to work in.
    """
    bounds = strip_bounds(n_samples)
    n_strips = len(bounds) - 1
    own = [np.empty((n_strips, *np.atleast_1d(shape)), dtype) for shape, dtype in sums]
    starts = (_Sums * _MOST_SUMS)(*[(array.ctypes.data, array.strides[0]) for array in own])  # more are an IndexError
    given = [ctypes.c_int(argument) if isinstance(argument, int) else argument for argument in arguments]
    pointers = (ctypes.c_void_p * len(given))(*map(_address, given))
    kernel, n_threads = getattr(_library(), f"branchynet_{name}"), threads.get_threads()
    if _library().branchynet_share(kernel, bounds, n_strips, n_threads, pointers, starts, len(own)) != 0:
        raise MemoryError(f"{name}: no memory for the work on {n_samples} samples")
    return own


def total_of(strips):
    """The sum of float32 arrays (strips, ...) that a kernel has added to, in the order of the strips."""
    total = np.empty(strips.shape[1:], np.float32)
    call_strips("total", total.size, total.size, len(strips), strips, total)
    return total


@functools.lru_cache(maxsize=64)
def strip_bounds(n_samples):
    """Where the strips of a batch begin, and behind them n_samples: a C array of int.

    They are the same whatever the number of threads: sums over a strip are then added up in the same order, and results
    do not depend on it. Threads take strips from both ends, and those in the middle are small: no thread has to wait
    long for another one's last.
    """
    in_parts = itertools.accumulate(_PARTS, initial=0)
    bounds = sorted({n_samples * end // sum(_PARTS) for end in in_parts})
    return (ctypes.c_int * len(bounds))(*bounds)


_PARTS = (4, 4, 4, 2, 1, 1, 1, 1, 2, 4, 4, 4)


_MOST_SUMS = 3  # as in team.h


class _Sums(ctypes.Structure):
    """`struct sums` of team.h."""

    _fields_ = [("start", ctypes.c_void_p), ("n_bytes", ctypes.c_int64)]


def _address(argument):
    if isinstance(argument, np.ndarray):
        return argument.ctypes.data
    return None if argument is None else ctypes.addressof(argument)


@functools.lru_cache(maxsize=1)
def _library():
    """The compiled kernels; None, with a warning, where they cannot be compiled."""
    paths = (VECTORS, WINOGRAD, TEAM, *_SOURCES)
    parts = ["#define SIZES_ARE_UNKNOWN\n", *(path.read_text(encoding="utf-8") for path in paths)]
    try:
        library = load_library("".join(parts))
    except CompileError as error:
        warnings.warn(f"training computes by Chainer's own functions, several times slower: {error}", stacklevel=2)
        return None
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=library.branchynet_forget_helpers)
    return library

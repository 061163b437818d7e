"""The C kernels of training (`kernels.c`), compiled once for this machine and called on strips of a batch."""

from __future__ import annotations

import ctypes
import functools
import pathlib
import warnings

import chainer
import numpy as np

from branchynet.errors import CompileError
from branchynet.machine.compilers import VECTORS, compile_library, pointer
from branchynet.machine.threads import map_strips

_SOURCE = pathlib.Path(__file__).with_name("kernels.c")

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


def kernel(name):
    """The function of that name in kernels.c."""
    return getattr(_library(), f"branchynet_{name}")


def call_strips(name, n_samples, *arguments, sums=()) -> list:
    """Calls a kernel on the strips of a batch, shared out to the threads.

    Args:
        name: of the C function, without its prefix.
        n_samples: of the batch.
        arguments: what follows (start, stop) in C: contiguous arrays of the whole batch, whole numbers, C structures,
            or None for no array.
        sums: shape and dtype of each array that the kernel adds to; they come last. Each strip has its own, of zeros.

    Returns:
        for each of `sums`, the arrays of the strips, in their order.

    Raises:
        MemoryError: a kernel finds no memory to work in.
    """
    function, given = kernel(name), [_as_c(argument) for argument in arguments]

    def call(start, stop):
        own = [np.zeros(shape, dtype) for shape, dtype in sums]
        if function(start, stop, *given, *map(pointer, own)) != 0:
            raise MemoryError(f"{name}: no memory for the work on {stop - start} samples")
        return own

    return list(zip(*map_strips(call, n_samples)))


def _as_c(argument):
    if isinstance(argument, np.ndarray):
        return pointer(argument)
    return ctypes.byref(argument) if isinstance(argument, ctypes.Structure) else argument


@functools.lru_cache(maxsize=1)
def _library():
    """The compiled kernels; None, with a warning, where they cannot be compiled."""
    parts = ["#define SIZES_ARE_UNKNOWN\n", *(path.read_text(encoding="utf-8") for path in (VECTORS, _SOURCE))]
    try:
        return ctypes.CDLL(str(compile_library("".join(parts))))
    except CompileError as error:
        warnings.warn(f"training computes by Chainer's own functions, several times slower: {error}", stacklevel=2)
        return None

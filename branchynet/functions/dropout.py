"""Dropout (Srivastava et al. 2014) whose masks do not depend on how many workers share a batch."""

import contextlib
import contextvars
import functools
import itertools
import typing

import chainer
import numpy as np


class _Drawing(typing.NamedTuple):
    """Who draws masks: a `Shard` of a batch, at a step, and how many masks were drawn before."""

    shard: typing.Any
    step: int
    calls: typing.Iterator


_drawing = contextvars.ContextVar("drawing", default=None)


@contextlib.contextmanager
def drawn_for(shard, step=0):
    """Within the block, dropout draws the masks of the whole batch and uses this worker's rows of them.

    Args:
        shard: `branchynet.machine.workers.Shard` of the batch in hand; None for a batch of one's own.
        step: a number of its own for each step, from 0 to 2**55; on a GPU the masks follow from it. On the CPU they
            follow from NumPy's global generator.
    """
    token = _drawing.set(_Drawing(shard, step, itertools.count()))
    try:
        yield
    finally:
        _drawing.reset(token)


def dropout(x, ratio=0.5):
    """Sets numbers to 0 with probability `ratio` in training and scales the rest, as Chainer's function.

    Within `drawn_for`, several workers, which all seed the generator alike, drop what a single one would.

    Args:
        x: (N, ...) float Variable or array.
        ratio: probability of 0.

    Returns:
        Variable of the shape and dtype of x.
    """
    drawing = _drawing.get()
    shard = None if drawing is None else drawing.shard
    if not chainer.config.train or shard is None or len(x) != shard.stop - shard.start:
        return chainer.functions.dropout(x, ratio)
    xp, scale = chainer.backend.get_array_module(x), x.dtype.type(1 / (1 - ratio))
    if xp is np:
        kept = np.random.rand(shard.n_samples, *x.shape[1:])[shard.rows] >= ratio  # noqa: NPY002
        return chainer.functions.dropout(x, ratio, mask=kept.astype(x.dtype) * scale)
    # A generator of cuRAND would build its states anew at each step, for that is seeded.
    mask, first = xp.empty(x.shape, x.dtype), shard.start * (x.size // len(x))
    key = np.uint64((drawing.step << 8) + next(drawing.calls) % 256)
    _mask_kernel(xp)(key, np.uint64(first), np.float32(ratio), scale, mask)
    return chainer.functions.dropout(x, ratio, mask=mask)


@functools.cache
def _mask_kernel(xp):
    """Number i of mask `key`, without a state: splitmix64 (Steele, Lea and Flood 2014), applied to the key and then to
    its sum with the number."""
    return xp.ElementwiseKernel(
        "uint64 key, uint64 first, float32 ratio, T scale",
        "T mask",
        "const unsigned long long z = mixed(mixed(key) + first + i);\n"
        "mask = (z >> 40) * (1.0f / 16777216.0f) >= ratio ? scale : T(0);",
        "branchynet_dropout_mask",
        preamble="""
            __device__ unsigned long long mixed(unsigned long long z)
            {
                z += 0x9E3779B97F4A7C15ULL;
                z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
                z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
                return z ^ (z >> 31);
            }
        """,
    )

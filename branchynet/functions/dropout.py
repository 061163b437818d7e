"""Dropout (Srivastava et al. 2014) whose masks do not depend on how many workers share a batch."""

from __future__ import annotations

import contextlib
import contextvars

import chainer

_shard = contextvars.ContextVar("shard", default=None)


@contextlib.contextmanager
def drawn_for(shard):
    """Within the block, dropout draws the masks of the whole batch and uses this worker's rows of them.

    Args:
        shard: `branchynet.machine.workers.Shard` of the batch in hand.
    """
    token = _shard.set(shard)
    try:
        yield
    finally:
        _shard.reset(token)


def dropout(x, ratio=0.5):
    """Sets numbers to 0 with probability `ratio` in training and scales the rest, as Chainer's function.

    Within `drawn_for`, several workers, which all seed the generator alike, drop what a single one would.

    Args:
        x: (N, ...) float Variable or array.
        ratio: probability of 0.

    Returns:
        Variable of the shape and dtype of x.
    """
    shard = _shard.get()
    if not chainer.config.train or shard is None or len(x) != shard.stop - shard.start:
        return chainer.functions.dropout(x, ratio)
    xp = chainer.backend.get_array_module(x)
    kept = xp.random.rand(shard.n_samples, *x.shape[1:])[shard.rows] >= ratio
    return chainer.functions.dropout(x, ratio, mask=kept.astype(x.dtype) * x.dtype.type(1 / (1 - ratio)))

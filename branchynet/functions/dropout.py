"""Dropout (Srivastava et al. 2014) whose masks do not depend on how a batch is shared out to processes."""

from __future__ import annotations

import chainer

chainer.global_config.branchynet_share = None


def dropout(x, ratio=0.5):
    """Sets numbers to 0 with probability `ratio` in training and scales the rest, as Chainer's function.

    While ``chainer.config.branchynet_share`` names this process's rows of a batch (`branchynet.processes.Share`),
    masks are drawn for the whole batch, from the generator that all processes seed alike, and these rows are used: so
    several processes drop what a single one would.

    Args:
        x: (N, ...) float Variable or array.
        ratio: probability of 0.

    Returns:
        Variable of the shape and dtype of x.
    """
    share = chainer.config.branchynet_share
    if not chainer.config.train or share is None or len(x) != share.stop - share.start:
        return chainer.functions.dropout(x, ratio)
    xp = chainer.backend.get_array_module(x)
    kept = xp.random.rand(share.n_samples, *x.shape[1:])[share.rows] >= ratio
    return chainer.functions.dropout(x, ratio, mask=kept.astype(x.dtype) * x.dtype.type(1 / (1 - ratio)))

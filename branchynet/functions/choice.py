"""Whether the functions of this package compute in their own way or in Chainer's."""

from __future__ import annotations

import chainer
import numpy as np

chainer.global_config.branchynet_plain_chainer = False


def plain_chainer():
    """A context in which the functions of this package are Chainer's own, as in the paper: for comparison."""
    return chainer.using_config("branchynet_plain_chainer", True)


def computes_here(x) -> bool:
    """True if x, an array or Variable, is on the CPU and nobody asked for Chainer's own functions."""
    return isinstance(chainer.as_array(x), np.ndarray) and not chainer.config.branchynet_plain_chainer

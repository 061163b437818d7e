"""Batch normalisation with the fast CPU path of `branchynet.functions`."""

from __future__ import annotations

import chainer
import chainer.links as L

from branchynet.functions import batch_normalization
from branchynet.functions.choice import computes_here


class BatchNormalization(L.BatchNormalization):
    """Chainer's link for images (N, C, H, W); only training on the CPU is computed in another way.

    Args:
        size: number of channels.
        **kwargs: as Chainer's link.
    """

    def __init__(self, size, **kwargs):
        super().__init__(size, **kwargs)

    def forward(self, x):
        """(N, C, H, W) -> the same shape, each channel normalised."""
        is_plain = self.gamma is None or self.beta is None or x.ndim != 4
        if is_plain or not chainer.config.train or not computes_here(x):
            return super().forward(x)
        return batch_normalization(x, self.gamma, self.beta, self.eps, self.avg_mean, self.avg_var, decay=self.decay)

"""Chainer functions with a fast CPU path: the same results, computed for a few samples at a time, within the cache.

On CuPy arrays each is Chainer's own function. `scale_gradient` is an addition: Chainer has nothing like it.
"""

from branchynet.functions.batch_normalization import batch_normalization
from branchynet.functions.choice import computes_here, plain_chainer
from branchynet.functions.convolution_2d import convolution_2d
from branchynet.functions.dropout import drawn_for, dropout
from branchynet.functions.local_response_normalization import local_response_normalization
from branchynet.functions.max_pooling_2d import max_pooling_2d
from branchynet.functions.scale_gradient import scale_gradient

__all__ = [
    "batch_normalization",
    "computes_here",
    "convolution_2d",
    "drawn_for",
    "dropout",
    "local_response_normalization",
    "max_pooling_2d",
    "plain_chainer",
    "scale_gradient",
]

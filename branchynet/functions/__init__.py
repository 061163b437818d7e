"""Chainer functions with a fast CPU path in C (`kernels.c` and others): the same results to rounding.

They are Chainer's own on CuPy arrays, for other types than float32, and where there is no C compiler.
`scale_gradient`, `thinned` and `fan_out` are additions. The room knows arithmetic, and no network.
"""

from branchynet.functions.batch_normalization import add_and_relu, batch_normalization
from branchynet.functions.convolution_2d import convolution_2d
from branchynet.functions.dropout import drawn_for, dropout
from branchynet.functions.fan_out import fan_out
from branchynet.functions.kernels import computes_here, plain_chainer
from branchynet.functions.local_response_normalization import local_response_normalization
from branchynet.functions.pooling import average_pooling_2d, max_pooling_2d
from branchynet.functions.scale_gradient import scale_gradient
from branchynet.functions.thinned import thinned

"""B-ResNet for 32x32 colour images (paper, section IV-A): a residual network with two branches.

Three groups of n residual blocks with 16, 32 and 64 channels; the depth is 6 n + 2, so n = 18 is the paper's
ResNet-110. Branch 1 follows the first convolution; branch 2 follows the first group, as in the authors' code, where
the group that it follows has 18 blocks. The first convolution has no padding there, hence 30x30.
"""

import chainer.functions as F
import chainer.links as L

from branchynet.errors import NetworkError
from branchynet.functions import local_response_normalization
from branchynet.links import FL, Branch, Convolution2D, ResBlock

NAME = "ResNet"
INPUT_SHAPE = (3, 32, 32)
# The authors' sweep over T for their CIFAR-10 networks, in nats, with the paper's own setting for this network.
THRESHOLD_GRID = (1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 5, 10)


def get_network(n_classes=10, n=18):
    """The network list of depth 6 n + 2; the shapes at the right are those of one sample after the layer.

    Args:
        n_classes: size of the logits.
        n: residual blocks in each of the three groups, n >= 1; 18 gives ResNet-110, 3 gives ResNet-20.

    Raises:
        NetworkError: n is not a positive integer.
    """
    if not isinstance(n, int) or n < 1:
        raise NetworkError(f"n: expected a whole number of residual blocks a group, >= 1, got {n!r}")
    first_branch = Branch(
        [
            Convolution2D(16, 64, 5, pad=2),  # 64x30x30
            FL(F.relu),
            FL(local_response_normalization, n=3, alpha=5e-5, beta=0.75),
            Convolution2D(64, 32, 3, pad=1),
            FL(F.relu),
            Convolution2D(32, 32, 3, pad=1),
            FL(F.relu),
            L.Linear(28800, n_classes),
        ],
        weight=1.0,
    )
    return [
        Convolution2D(3, 16, 3),  # 16x30x30
        L.BatchNormalization(16),
        FL(F.relu),
        first_branch,
        *[ResBlock(16, 16) for _ in range(n)],  # 16x30x30
        Branch([ResBlock(16, 16), L.Linear(14400, n_classes)], weight=1.0),
        ResBlock(16, 32, stride=2),  # 32x15x15
        *[ResBlock(32, 32) for _ in range(n - 1)],
        ResBlock(32, 64, stride=2),  # 64x8x8
        *[ResBlock(64, 64) for _ in range(n - 1)],
        FL(F.average_pooling_2d, 6, 1),  # 64x3x3
        Branch([L.Linear(576, n_classes)], weight=0.3),
    ]

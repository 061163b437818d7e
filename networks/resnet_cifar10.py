"""B-ResNet for 32x32 colour images (paper, section IV-A): a residual network with two branches.

Three groups of n residual blocks with 16, 32 and 64 channels; the depth is 6 n + 2, so n = 18 is the paper's
ResNet-110. Branch 1 follows the first convolution; branch 2 follows the first group, as in the authors' code, where
the group that it follows has 18 blocks. The first convolution has no padding there, hence 30x30.
"""

import chainer.functions as F
import chainer.links as L

from branchynet.errors import NetworkError
from branchynet.functions import average_pooling_2d, local_response_normalization
from branchynet.links import FL, BatchNormalization, Branch, Convolution2D, ResBlock

NAME = "ResNet"
INPUT_SHAPE = (3, 32, 32)
BRANCHES = ("paper", "light", "pooled")
# The authors' sweep over T for their CIFAR-10 networks, in nats, with the paper's own setting for this network.
THRESHOLD_GRID = (1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 5, 10)


def get_network(n_classes=10, n=18, branches="paper"):
    """The network list of depth 6 n + 2; the shapes at the right are those of one sample after the layer.

    Args:
        n_classes: size of the logits.
        n: residual blocks in each of the three groups, n >= 1; 18 gives ResNet-110, 3 gives ResNet-20.
        branches: "paper": the paper's, after the first convolution and after the first group. Their heads are made for
            ResNet-110: the first takes 48 M multiply-adds, more than the whole of ResNet-20 (37 M), so that leaving
            there costs more than staying. "light": after the first and the second group, each of one convolution that
            halves the image, pooling and a fully connected layer, about 1 M multiply-adds. "pooled": after the first
            group and after two thirds of the second, each of pooling, one convolution and a fully connected layer,
            less than 0.5 M multiply-adds.

    Raises:
        NetworkError: n is not a positive integer, or other branches.
    """
    if not isinstance(n, int) or n < 1:
        raise NetworkError(f"n: expected a whole number of residual blocks a group, >= 1, got {n!r}")
    if branches not in BRANCHES:
        raise NetworkError(f"branches: expected one of {', '.join(BRANCHES)}, got {branches!r}")
    first = [Convolution2D(3, 16, 3), BatchNormalization(16), FL(F.relu)]  # 16x30x30
    groups = [
        [ResBlock(16, 16) for _ in range(n)],  # 16x30x30
        [ResBlock(16, 32, stride=2), *[ResBlock(32, 32) for _ in range(n - 1)]],  # 32x15x15
        [ResBlock(32, 64, stride=2), *[ResBlock(64, 64) for _ in range(n - 1)]],  # 64x8x8
    ]
    pooling = FL(average_pooling_2d, 6, 1)  # 64x3x3
    last = Branch([L.Linear(576, n_classes)], weight=0.3 if branches == "paper" else 1.0)
    if branches == "light":
        first_branch, second_branch = _light_branch(16, 5, n_classes), _light_branch(32, 4, n_classes)
        return [*first, *groups[0], first_branch, *groups[1], second_branch, *groups[2], pooling, last]
    if branches == "pooled":
        first_branch, second_branch = _pooled_branch(16, n_classes, 2), _pooled_branch(32, n_classes)
        groups[1].insert(max(1, 2 * n // 3), second_branch)
        return [*first, *groups[0], first_branch, *groups[1], *groups[2], pooling, last]
    second_branch = Branch([ResBlock(16, 16), L.Linear(14400, n_classes)], weight=1.0)
    return [*first, _first_branch(n_classes), *groups[0], second_branch, *groups[1], *groups[2], pooling, last]


def _first_branch(n_classes):
    """The paper's first branch: 3 convolutions and 1 fully connected layer."""
    return Branch(
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


def _light_branch(in_channels, pooled, n_classes):
    """1 convolution that halves the image and doubles the channels, average pooling, 1 fully connected layer."""
    return Branch(
        [
            Convolution2D(in_channels, 2 * in_channels, 3, stride=2, pad=1),
            FL(F.relu),
            FL(average_pooling_2d, pooled),
            L.Linear(None, n_classes),
        ],
        weight=0.5,
    )


def _pooled_branch(in_channels, n_classes, pooled=1):
    """Average pooling, 1 convolution that doubles the channels, normalised, pooling again, 1 fully connected layer."""
    return Branch(
        [
            FL(average_pooling_2d, 3),
            Convolution2D(in_channels, 2 * in_channels, 3, pad=1),
            BatchNormalization(2 * in_channels),
            FL(F.relu),
            *([FL(average_pooling_2d, pooled)] if pooled > 1 else []),
            L.Linear(None, n_classes),
        ],
        weight=0.5,
    )

"""B-AlexNet for 32x32 colour images (paper, section IV-A): AlexNet with 5 convolutions and 3 fully connected layers.

The paper's text puts the branches after the first and the second convolution; the authors' code puts them after the
second and the third. Both are here: the place decides what an early exit costs.
"""

import chainer.functions as F
import chainer.links as L

from branchynet.errors import NetworkError
from branchynet.functions import dropout, local_response_normalization, max_pooling_2d
from branchynet.links import FL, Branch, Convolution2D

NAME = "AlexNet"
INPUT_SHAPE = (3, 32, 32)
PLACEMENTS = ("paper", "authors")
# The authors' sweep over T (their notebook), in nats, for each of the two early exits.
THRESHOLD_GRID = (1e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 0.75, 1, 5, 10)


def get_network(n_classes=10, placement="paper"):
    """The network list; the shapes at the right are those of one sample after the layer.

    Args:
        n_classes: size of the logits.
        placement: "paper" (branches after conv 1 and conv 2) or "authors" (after conv 2 and conv 3).

    Raises:
        NetworkError: another placement.
    """
    if placement not in PLACEMENTS:
        raise NetworkError(f"placement: expected one of {', '.join(PLACEMENTS)}, got {placement!r}")
    conv1 = [Convolution2D(3, 32, 5, pad=2)]  # 32x32x32
    conv2 = [FL(F.relu), _pool(), _normalise(), Convolution2D(32, 64, 5, pad=2)]  # 64x16x16
    conv3 = [FL(F.relu), _pool(), _normalise(), Convolution2D(64, 96, 3, pad=1)]  # 96x8x8
    rest = [
        FL(F.relu),
        Convolution2D(96, 96, 3, pad=1),  # 96x8x8
        FL(F.relu),
        Convolution2D(96, 64, 3, pad=1),  # 64x8x8
        FL(F.relu),
        _pool(),  # 64x4x4
        L.Linear(1024, 256),
        FL(F.relu),
        FL(dropout, 0.5),
        L.Linear(256, 128),
        FL(F.relu),
        FL(dropout, 0.5),
    ]
    last = Branch([L.Linear(128, n_classes)], weight=0.3)
    if placement == "paper":
        first, second = _branch([32, 32], 2048, n_classes), _branch([64], 512, n_classes)
        return [*conv1, first, *conv2, second, *conv3, *rest, last]
    first, second = _branch([64, 32], 512, n_classes), _branch([96], 128, n_classes)
    return [*conv1, *conv2, first, *conv3, second, *rest, last]


def _branch(in_channels, n_features, n_classes):
    """A branch: a convolution for each number of channels that comes in, and 1 fully connected layer."""
    layers = [FL(F.relu), _pool(), _normalise()]
    for channels in in_channels:
        layers += [Convolution2D(channels, 32, 3, pad=1), FL(F.relu)]
    return Branch([*layers, _pool(), L.Linear(n_features, n_classes)], weight=1.0)


def _pool():
    return FL(max_pooling_2d, 3, 2)


def _normalise():
    return FL(local_response_normalization, n=3, alpha=5e-5, beta=0.75)

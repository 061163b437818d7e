"""B-LeNet for 28x28 grey images (paper, section IV-A): LeNet with 3 convolutions, one branch after the first.

Layers and order as in the authors' code; max pooling covers the border (cover_all), which is why 30 -> 15 and 11 -> 6.
"""

import chainer.functions as F
import chainer.links as L

from branchynet.functions import max_pooling_2d
from branchynet.links import FL, Branch, Convolution2D

NAME = "LeNet"
INPUT_SHAPE = (1, 28, 28)
# The authors' sweep over T (their notebook), in nats.
THRESHOLD_GRID = (1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2, 3, 5, 10)


def get_network(n_classes=10):
    """The network list; the shapes at the right are those of one sample after the layer."""
    return [
        Convolution2D(1, 5, 5, pad=3),  # 1x28x28 -> 5x30x30
        Branch(
            [
                FL(max_pooling_2d, 2, 2),  # 5x15x15
                FL(F.relu),
                Convolution2D(5, 10, 3, pad=1),  # 10x15x15
                FL(max_pooling_2d, 2, 2),  # 10x8x8
                FL(F.relu),
                L.Linear(640, n_classes),
            ],
            weight=1.0,
        ),
        FL(max_pooling_2d, 2, 2),  # 5x15x15
        FL(F.relu),
        Convolution2D(5, 10, 5, pad=3),  # 10x17x17
        FL(max_pooling_2d, 2, 2),  # 10x9x9
        FL(F.relu),
        Convolution2D(10, 20, 5, pad=3),  # 20x11x11
        FL(max_pooling_2d, 2, 2),  # 20x6x6
        FL(F.relu),
        L.Linear(720, 84),
        Branch([L.Linear(84, n_classes)], weight=0.3),
    ]

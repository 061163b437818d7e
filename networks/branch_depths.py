"""Networks of the zoo with any number of convolutions in their first branch (paper, Fig. 5)."""

import chainer.functions as F
import chainer.links as L

from branchynet.functions import local_response_normalization, max_pooling_2d
from branchynet.links import FL, Branch, Convolution2D
from networks import zoo


def lenet_branch(n_convolutions):
    """The first branch of B-LeNet; the paper's has 1 convolution."""
    pool = [FL(max_pooling_2d, 2, 2), FL(F.relu)]
    return Branch([*pool, *_convolutions(n_convolutions, 10), *pool, L.Linear(None, 10)], weight=1.0)


def alexnet_branch(n_convolutions):
    """The first branch of B-AlexNet; the paper's has 2 convolutions."""
    normalised = [FL(F.relu), FL(max_pooling_2d, 3, 2), FL(local_response_normalization, n=3, alpha=5e-5, beta=0.75)]
    pool = FL(max_pooling_2d, 3, 2)
    return Branch([*normalised, *_convolutions(n_convolutions, 32), pool, L.Linear(None, 10)], weight=1.0)


# name in the zoo: what makes its first branch.
BRANCHES = {"lenet": lenet_branch, "alexnet-paper": alexnet_branch}


def build_with(name, n_convolutions):
    """The list of a network, one of `BRANCHES`, with so many convolutions in its first branch."""
    layers = zoo.get(name).build()
    first = next(index for index, layer in enumerate(layers) if isinstance(layer, Branch))
    return [*layers[:first], BRANCHES[name](n_convolutions), *layers[first + 1 :]]


def _convolutions(n, n_channels):
    return [layer for _ in range(n) for layer in (Convolution2D(None, n_channels, 3, pad=1), FL(F.relu))]

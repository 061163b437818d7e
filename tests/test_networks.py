"""The paper's networks: exits, shapes, and the number of multiply-adds that the layers imply."""

import chainer
import numpy as np
import pytest

from branchynet import BranchyNet
from branchynet.errors import NetworkError
from branchynet.inference.plan import make_plain_plan, make_plan
from networks import alexnet_cifar10, lenet_mnist, resnet_cifar10

NETWORKS = {
    "lenet": (lenet_mnist.get_network(), lenet_mnist.INPUT_SHAPE, 2),
    "alexnet paper": (alexnet_cifar10.get_network(placement="paper"), alexnet_cifar10.INPUT_SHAPE, 3),
    "alexnet authors": (alexnet_cifar10.get_network(placement="authors"), alexnet_cifar10.INPUT_SHAPE, 3),
    "resnet n=1": (resnet_cifar10.get_network(n=1), resnet_cifar10.INPUT_SHAPE, 3),
    "resnet n=1 light": (resnet_cifar10.get_network(n=1, branches="light"), resnet_cifar10.INPUT_SHAPE, 3),
    "resnet n=1 pooled": (resnet_cifar10.get_network(n=1, branches="pooled"), resnet_cifar10.INPUT_SHAPE, 3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_exit_gives_ten_logits(name):
    layers, shape, n_exits = NETWORKS[name]
    net = BranchyNet(layers)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        logits = net(np.zeros((2, *shape), np.float32))
    assert [exit_logits.shape for exit_logits in logits] == [(2, 10)] * n_exits
    is_ours = name.endswith(("light", "pooled"))
    assert net.loss_weights == ((0.5, 0.5, 1.0) if is_ours else (1.0,) * (n_exits - 1) + (0.3,))


def count_convolutions(layers):
    """Convolutions and fully connected layers, those of residual blocks included."""
    names = [type(link).__name__ for layer in layers if isinstance(layer, chainer.Link) for link in layer.links()]
    return names.count("Convolution2D"), names.count("Linear")


@pytest.mark.parametrize(
    ("name", "trunk", "branches"),
    [
        ("lenet", (3, 1), [(1, 1), (0, 1)]),
        ("alexnet paper", (5, 2), [(2, 1), (1, 1), (0, 1)]),
        ("alexnet authors", (5, 2), [(2, 1), (1, 1), (0, 1)]),
    ],
)
def test_layers_are_counted_as_in_the_paper(name, trunk, branches):
    net = BranchyNet(NETWORKS[name][0])
    assert tuple(np.sum([count_convolutions(stage.layers) for stage in net.trunk], axis=0)) == trunk
    assert [count_convolutions(branch.layers) for branch in net.exits] == branches


@pytest.mark.parametrize(
    ("networks", "settings", "convolutions"),
    [
        (alexnet_cifar10, {"placement": "paper"}, [1, 1, 3]),
        (alexnet_cifar10, {"placement": "authors"}, [2, 1, 2]),
        # ResNet-110 has branches after convolutions 1 and 37; the last of its layers is no convolution.
        (resnet_cifar10, {"n": 18}, [1, 36, 109 - 37]),
        # Pooled branches follow the first group of blocks, and two thirds of the second.
        (resnet_cifar10, {"n": 1, "branches": "pooled"}, [3, 2, 2]),
        (resnet_cifar10, {"n": 3, "branches": "pooled"}, [7, 4, 8]),
        (resnet_cifar10, {"n": 18, "branches": "pooled"}, [37, 24, 48]),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_branches_follow_the_convolutions_they_are_said_to_follow(networks, settings, convolutions):
    net = BranchyNet(networks.get_network(**settings))
    assert [count_convolutions(stage.layers)[0] for stage in net.trunk] == convolutions


def test_the_papers_first_branch_costs_more_than_the_whole_of_resnet_20_and_the_cheaper_ones_little():
    plans = {}
    for branches in resnet_cifar10.BRANCHES:
        net = BranchyNet(resnet_cifar10.get_network(n=3, branches=branches))
        plans[branches] = make_plan(net, resnet_cifar10.INPUT_SHAPE)
    (whole,) = make_plain_plan(net, resnet_cifar10.INPUT_SHAPE).path_multiply_adds()
    assert plans["paper"].segments[0].head_multiply_adds > whole
    for branches, share in (("light", 0.04), ("pooled", 0.015)):
        assert all(segment.head_multiply_adds < share * whole for segment in plans[branches].segments)
        assert plans[branches].path_multiply_adds()[0] < 0.4 * whole


@pytest.mark.parametrize("n", [0, -1, 1.5, "3"])
def test_a_depth_that_is_none_is_refused(n):
    with pytest.raises(NetworkError, match="residual blocks"):
        resnet_cifar10.get_network(n=n)


def test_an_unknown_placement_is_refused():
    with pytest.raises(NetworkError, match="expected one of paper, authors, got 'text'"):
        alexnet_cifar10.get_network(placement="text")
    with pytest.raises(NetworkError, match="expected one of paper, light, pooled, got 'heavy'"):
        resnet_cifar10.get_network(branches="heavy")

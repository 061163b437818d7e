"""The PyTorch twins that speed is compared with compute the same; skipped where PyTorch is not installed."""

import chainer
import numpy as np
import pytest
from peers import torch_layers

from branchynet import FL, BranchyNet
from networks import alexnet_cifar10, lenet_mnist, resnet_cifar10

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed; in the project's folder: pip install -e '.[bench]'"
)

NETWORKS = {
    "lenet": (lenet_mnist.get_network, (1, 28, 28)),
    "alexnet": (alexnet_cifar10.get_network, (3, 32, 32)),
    "resnet": (lambda: resnet_cifar10.get_network(n=1, branches="light"), (3, 32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_exit_has_the_same_logits(name):
    build, shape = NETWORKS[name]
    net = BranchyNet(build())
    net.initialise(shape)
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    net(x)  # in training mode: the running statistics of batch normalisation move away from their first values
    with chainer.using_config("train", False):
        expected = net(x)
    h = torch.from_numpy(x)
    with torch.inference_mode():
        for (stage, branch), logits in zip(net.stages(), expected):
            h = torch_layers(stage.layers).eval()(h)
            ours = torch_layers(branch.layers).eval()(h).numpy()
            np.testing.assert_allclose(ours, logits.array, rtol=1e-4, atol=1e-4)


def test_a_layer_without_a_twin_is_named():
    with pytest.raises(ValueError, match="no PyTorch twin is known for .*tanh"):
        torch_layers([FL(chainer.functions.tanh)])

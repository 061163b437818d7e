"""The networks that speed is compared with compute the same; what needs PyTorch is skipped where there is none."""

import chainer
import numpy as np
import peers
import pytest
from tiny import drawn_net, with_statistics

from branchynet import FL, run
from networks import alexnet_cifar10, lenet_mnist, resnet_cifar10

NETWORKS = {
    "lenet": (lenet_mnist.get_network, (1, 28, 28)),
    "alexnet": (alexnet_cifar10.get_network, (3, 32, 32)),
    "resnet": (lambda: resnet_cifar10.get_network(n=1, branches="pooled"), (3, 32, 32)),
}


def net_and_input(name):
    build, shape = NETWORKS[name]
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    return with_statistics(drawn_net(build, shape), x), x


@pytest.mark.parametrize("name", NETWORKS)
def test_every_exit_has_the_same_logits(name, torch):
    net, x = net_and_input(name)
    with chainer.using_config("train", False):
        expected = net(x)
    h = torch.from_numpy(x)
    with torch.inference_mode():
        for (stage, branch), logits in zip(net.stages(), expected):
            h = peers.torch_layers(stage.layers).eval()(h)
            ours = peers.torch_layers(branch.layers).eval()(h).numpy()
            np.testing.assert_allclose(ours, logits.array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_plain_network_in_pytorch_gives_the_labels_of_the_last_exit(name, torch):
    net, x = net_and_input(name)
    assert peers.plain_torch(net)(x).tolist() == run(net, x, 0.0).labels.tolist()
    assert torch.get_num_threads() == 1 and torch.__version__.startswith(peers.versions()["torch"])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_plain_network_in_onnx_runtime_gives_the_labels_of_the_last_exit(name):
    pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    net, x = net_and_input(name)
    assert peers.plain_onnxruntime(net)(x).tolist() == run(net, x, 0.0).labels.tolist()


def test_a_layer_without_a_twin_is_named(torch):
    with pytest.raises(ValueError, match="no PyTorch twin is known for .*tanh"):
        peers.torch_layers([FL(chainer.functions.tanh)])

"""What the authors' code computed, reproduced.

`data/upstream_golden_lenet.npz` holds numbers that the authors' code (Python 2.7, Chainer 1.17) gave: weights, 16 test
images with softmax and entropy of both exits, exit decisions at one T, and one joint Adam step with loss weights
(1, 1). Links are numbered along each exit's whole path from the input.
"""

import pathlib

import chainer
import numpy as np
import pytest
from tiny import as_float

from branchynet import Branch, BranchyNet, run
from branchynet.confidence import entropy, softmax
from branchynet.datasets import Samples
from branchynet.machine.devices import to_host
from branchynet.training import JointLoss, TrainingSettings
from branchynet.training.batches import ShuffledBatches
from branchynet.training.updater import JointUpdater
from networks import lenet_mnist

GOLDEN = np.load(pathlib.Path(__file__).parent / "data" / "upstream_golden_lenet.npz")


@pytest.fixture
def net(device):
    """Our LeNet with the authors' weights and equal loss weights, as in their code, on the device."""
    layers = lenet_mnist.get_network()
    layers[-1] = Branch(layers[-1].layers, weight=1.0)
    net = BranchyNet(layers)
    for path, param in paths_to_params(net):
        param.array[...] = GOLDEN[f"weights/{path}"]
    return net.to_device(device)


def paths_to_params(net):
    """Each parameter with its name in the golden file; those of the trunk's first link once for each exit."""
    for exit_number in range(1, net.n_exits + 1):
        path = [layer for stage in list(net.trunk)[:exit_number] for layer in stage.layers]
        path += net.exits[exit_number - 1].layers
        for position, link in enumerate(path):
            if isinstance(link, chainer.Link):
                for name, param in link.namedparams():
                    yield f"exit{exit_number}/link{position:02d}{name}", param


def test_softmax_and_entropies_are_the_authors(net, device):
    with chainer.using_config("train", False):
        logits = [z.array for z in net(device.send(as_float(GOLDEN["x"])))]
    for number, z in enumerate(logits, start=1):
        np.testing.assert_allclose(to_host(softmax(z)), GOLDEN[f"softmax/exit{number}"], atol=1e-5)
        np.testing.assert_allclose(to_host(entropy(z)), GOLDEN[f"entropy/exit{number}"], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_exit_decisions_and_accuracy_are_the_authors(net, batch_size):
    answers = run(net, as_float(GOLDEN["x"]), GOLDEN["thresholds"], batch_size)
    exits, correct = to_host(answers.exits), to_host(answers.labels) == GOLDEN["y"]
    assert np.bincount(exits).tolist() == GOLDEN["test/numexits"].tolist()
    assert exits.tolist() == (GOLDEN["entropy/exit1"] >= GOLDEN["thresholds"][0]).astype(int).tolist()
    assert correct.mean() == GOLDEN["test/overall"]
    np.testing.assert_allclose([correct[exits == n].mean() for n in (0, 1)], GOLDEN["test/accuracies"])


def test_one_joint_step_gives_the_authors_losses_and_parameters(net, device):
    settings = TrainingSettings(epochs=1, batch_size=64, alpha=1e-3, beta1=0.9, beta2=0.999, schedule="constant")
    batches = ShuffledBatches(Samples(GOLDEN["step/x"], GOLDEN["step/y"]), 64, as_float)
    updater = JointUpdater(batches, JointLoss(net), settings, 1, device)
    reporter, observation = chainer.Reporter(), {}
    with reporter.scope(observation), chainer.using_config("train", True):
        updater.update()
    losses = [observation[f"exit{number}/loss"][0] for number in (1, 2)]
    np.testing.assert_allclose(losses, GOLDEN["step/losses"], atol=1e-5)
    for path, param in paths_to_params(net):
        after = GOLDEN[f"after_step/{path}"]
        assert np.abs(after - GOLDEN[f"weights/{path}"]).max() > 5e-4, "the step moves this parameter"
        np.testing.assert_allclose(to_host(param.array), after, atol=2e-5, err_msg=path)

"""The networks whose trained weights are released with the code, or will be, and how to load one."""

import dataclasses
import pathlib
import typing

import branchynet  # noqa: F401  (before networks: it makes Chainer importable)

# isort: split
from branchynet import BranchyNet, datasets, load_weights, records
from branchynet.experiment import PREPROCESSINGS
from networks import alexnet_cifar10, lenet_mnist, resnet_cifar10

RELEASED = pathlib.Path(__file__).resolve().parent / "results" / "released"


@dataclasses.dataclass(frozen=True)
class Network:
    """What is known of a network before its weights are read.

    Attributes:
        build: () -> network list.
        dataset: name of its data set.
        preprocessing: of `branchynet.experiment.PREPROCESSINGS`, where the record of the run does not say it.
        folder: of its results, in `RELEASED`.
        threshold_grid: T in nats that the paper's sweep tries at every early exit.
    """

    build: typing.Callable
    dataset: str
    preprocessing: str
    folder: str
    threshold_grid: tuple = (0.5,)


def _alexnet(placement):
    return Network(
        lambda: alexnet_cifar10.get_network(placement=placement),
        "cifar10",
        "normalise",
        f"alexnet_cifar10-{placement}",
        alexnet_cifar10.THRESHOLD_GRID,
    )


NETWORKS = {
    "lenet": Network(lenet_mnist.get_network, "mnist", "scale", "lenet_mnist", lenet_mnist.THRESHOLD_GRID),
    "alexnet-paper": _alexnet("paper"),
    "alexnet-authors": _alexnet("authors"),
    "resnet-20": Network(
        lambda: resnet_cifar10.get_network(n=3, branches="light"),
        "cifar10",
        "normalise",
        "resnet_cifar10-n3-light",
        resnet_cifar10.THRESHOLD_GRID,
    ),
}


class Loaded(typing.NamedTuple):
    """A trained network with its data.

    Attributes:
        net: the `BranchyNet`.
        splits: `branchynet.datasets.Splits`.
        prepare: images uint8 -> what the network takes.
        run: the record of the run that trained it; None where the folder holds none.
    """

    net: typing.Any
    splits: typing.Any
    prepare: typing.Callable
    run: typing.Any


def is_released(network) -> bool:
    """Whether the trained weights of a `Network` are there."""
    return (RELEASED / network.folder / "weights.npz").exists()


def load_network(network, weights=None, data_dir=None) -> Loaded:
    """Builds a `Network`, with the weights in a folder of an experiment's results (by default those released).

    Raises:
        SnapshotError: the folder holds no weights, or those of another network.
        DataError: the data set cannot be had.
    """
    folder = pathlib.Path(weights) if weights else RELEASED / network.folder
    run = records.read_json(folder / "run.json") if (folder / "run.json").exists() else None
    name = (run or {}).get("arguments", {}).get("preprocessing", network.preprocessing)
    splits = datasets.load(network.dataset, data_dir).split()
    prepare = PREPROCESSINGS[name](splits.train.images)
    net = BranchyNet(network.build())
    net.initialise(prepare(splits.test.images[:1]).shape[1:])
    load_weights(net, folder / "weights")
    return Loaded(net, splits, prepare, run)

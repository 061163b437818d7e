"""The one table of networks: what each is called, its list, its data, and where its trained weights lie.

trained = networks.load("alexnet-paper")    # the trained net with its transform; no data set is needed
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import typing

from branchynet.errors import NetworkError, SnapshotError
from branchynet.machine.reading import BadFile, read_json
from branchynet.trained import TrainedNet, check_record
from networks import alexnet_cifar10, lenet_mnist, resnet_cifar10

RELEASED = pathlib.Path(__file__).resolve().parents[1] / "experiments" / "results" / "released"


@dataclasses.dataclass(frozen=True)
class Network:
    """What is known of a network before it is trained."""

    name: str  # what it is called everywhere: in commands, folders and records
    title: str  # the plain network's name in the paper's table; the branchy one is called "B-" + title
    build: typing.Callable  # () -> network list
    dataset: str  # name of the data set that it is for
    transform: str  # name of what prepares its images by default (`branchynet.datasets.TRANSFORMS`)
    threshold_grid: tuple  # T in nats that the authors' sweep tries at every early exit
    variant: str | None = None  # which of several networks of that title, as text; None where there is one
    # Of all samples, in [0, 1], that leave at each early exit in the paper's Table I; None where the paper has no
    # such network.
    paper_exit_shares: tuple | None = None

    @property
    def folder(self) -> pathlib.Path:
        """Where the released results of this network lie, weights among them."""
        return RELEASED / self.name

    @property
    def is_released(self) -> bool:
        """Whether trained weights are there."""
        return (self.folder / "weights.npz").exists()


LENET = Network("lenet", "LeNet", lenet_mnist.get_network, "mnist", "scale", lenet_mnist.THRESHOLD_GRID, None, (0.943,))


def alexnet(placement: str) -> Network:
    """B-AlexNet with the branches of the paper's text ("paper") or of the authors' code ("authors")."""
    return Network(
        f"alexnet-{placement}",
        "AlexNet",
        functools.partial(alexnet_cifar10.get_network, placement=placement),
        "cifar10",
        "normalise",
        alexnet_cifar10.THRESHOLD_GRID,
        placement,
        (0.656, 0.252),
    )


# The branches of a depth whose released weights have others than pooled ones.
_RESNET_BRANCHES = {18: "light"}


def resnet(n: int, branches: str | None = None) -> Network:
    """B-ResNet of depth 6 n + 2, with branches of `resnet_cifar10.BRANCHES`; by default those of released weights."""
    depth, usual = 6 * n + 2, _RESNET_BRANCHES.get(n, "pooled")
    branches = branches or usual
    return Network(
        f"resnet-{depth}" if branches == usual else f"resnet-{depth}-{branches}",
        f"ResNet-{depth}",
        functools.partial(resnet_cifar10.get_network, n=n, branches=branches),
        "cifar10",
        "normalise",
        resnet_cifar10.THRESHOLD_GRID,
        branches,
        (0.415, 0.138) if n == 18 else None,
    )


NETWORKS = {
    network.name: network
    for network in (
        LENET,
        alexnet("paper"),
        alexnet("authors"),
        resnet(3),
        resnet(18),
        resnet(18, "paper"),
    )
}


def released_names() -> list:
    """Names of the networks whose trained weights are there."""
    return [name for name, network in NETWORKS.items() if network.is_released]


def get(name: str) -> Network:
    """The network of that name.

    Raises:
        NetworkError: there is none.
    """
    if name not in NETWORKS:
        raise NetworkError(f"network: expected one of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]


def load(name: str, folder=None) -> TrainedNet:
    """A trained network, with its transform and the thresholds that its run chose; no data set is needed.

    Args:
        name: of `NETWORKS`.
        folder: of an experiment's results; None for those released with the code.

    Raises:
        NetworkError: there is no network of that name.
        SnapshotError: there are no such weights, they are damaged or of another network, or the record beside them is
            damaged or another run's.
    """
    network = get(name)
    if folder is None and not network.is_released:
        raise SnapshotError(
            f"{name}: expected released weights in {network.folder}, got none; they come with a clone, for "
            f"{', '.join(released_names()) or 'no network'}"
        )
    folder = network.folder if folder is None else pathlib.Path(folder)
    return TrainedNet.load(network.build(), folder / "weights", _chosen_thresholds(folder, name))


def _chosen_thresholds(folder, name):
    """T of each early exit that the run in a folder of results chose; None where there is no record of a run."""
    path = pathlib.Path(folder) / "run.json"
    if not path.exists():
        return None
    try:
        run = read_json(path)
        if run.get("name", name) != name:
            raise SnapshotError(f"{folder}: expected results of {name}, got those of {run['name']}")
        check_record(run, path.with_name("weights"))
        return tuple(run["choice"]["thresholds"])
    except (BadFile, AttributeError, KeyError, TypeError) as error:
        raise SnapshotError(f"{path}: expected the record of a run, got a damaged one: {error!r}") from error

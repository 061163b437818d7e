"""What a benchmark times: a trained network, images in the order of the timing, and T."""

import dataclasses
import functools
import typing

import numpy as np

from branchynet import BranchyNet, datasets
from branchynet.errors import ThresholdError
from branchynet.inference import Answers, record_exits, run
from branchynet.machine.devices import to_host
from branchynet.serialization import read_description
from branchynet.thresholds import Thresholds, as_exit_rule, thresholds_for_shares
from networks import zoo

# Where samples lie before they are answered, and answers after; on the host as float32 or as the uint8 that they were.
HOST, PIXELS, DEVICE = "host", "host, uint8", "device"


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained network, the images that it is timed on, and T."""

    name: str  # of `networks.zoo.NETWORKS`
    net: BranchyNet  # on the device that computes
    images: np.ndarray  # (n, C, H, W) uint8, the test images in the order of the timing
    splits: datasets.Splits  # of the data set, the test images in the published order
    transform: typing.Callable  # what makes samples of images
    labels: np.ndarray  # (n,) int32
    rule: Thresholds
    weights_sha256: str  # of the file of weights
    dataset_sha256: str = ""  # of the test images

    @functools.cached_property
    def x(self):
        """(n, C, H, W) float32, on the host."""
        return self.transform(self.images)

    def samples_in(self, place):
        """What is given to a contender: samples or, as `PIXELS`, images."""
        if place == PIXELS:
            return self.images
        return self.x if place == HOST else self.net.device.send(self.x)

    @functools.cached_property
    def expected(self):
        """`Answers` of the reference path to all images, on the host."""
        return Answers(*map(to_host, run(self.net, self.x, self.rule, batch_size=500)))


def load_subject(name, device, seed=0, data_dir=None, folder=None, thresholds=None, paper_mix=False) -> Subject:
    """Loads all that a network is timed with, so that what is missing is missed before anything is timed.

    Args:
        name: of `networks.zoo.NETWORKS`.
        device: Chainer device.
        seed: of the order of the test images.
        data_dir: folder of the data sets; None for the usual places.
        folder: of an experiment's results; None for the released ones.
        thresholds: nats, one for each early exit; None for those that the run chose.
        paper_mix: not those, but such that the paper's shares of the validation images leave.
    """
    network, trained = zoo.get(name), zoo.load(name, folder)
    dataset = datasets.load(network.dataset, data_dir)
    stem = (folder or network.folder) / "weights"
    dataset.check_trained_on(stem, trained.dataset)
    splits = dataset.split()
    trained.net.to_device(device)
    if thresholds is None and (paper_mix or trained.thresholds is None):
        thresholds = _at_the_papers_mix(network, trained, splits.validation)
    rule = as_exit_rule(trained.thresholds if thresholds is None else thresholds, trained.net.n_exits)
    order = np.random.default_rng(seed).permutation(len(splits.test))
    images, labels = splits.test.images[order], splits.test.labels[order]
    hashes = read_description(stem)["sha256"], splits.test.sha256()["images"]
    return Subject(name, trained.net, images, splits, trained.transform, labels, rule, *hashes)


def _at_the_papers_mix(network, trained, validation):
    if network.paper_exit_shares is None:
        raise ThresholdError(f"{network.name}: expected --thresholds: the paper does not say how many leave where")
    exits = record_exits(trained.net, trained.transform(validation.images), validation.labels)
    return thresholds_for_shares(exits, network.paper_exit_shares)

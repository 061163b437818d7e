"""AlexNet and B-AlexNet on CIFAR-10: the second row of the paper's Table I, from one command."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

from branchynet.datasets.augmentation import random_crop_and_flip
from branchynet.experiment import Experiment, Preset, main
from branchynet.training import TrainingSettings
from networks import alexnet_cifar10, zoo


def add_options(parser):
    """The options that only this experiment has."""
    parser.add_argument(
        "--placement",
        choices=alexnet_cifar10.PLACEMENTS,
        default=alexnet_cifar10.PLACEMENTS[0],
        help="branches after conv 1 and 2, as in the paper's text, or after conv 2 and 3, as in the authors' code "
        "(default: %(default)s)",
    )


# Settings of both steps of our own presets.
_OURS = {"batch_size": 128, "alpha": 1e-3}
EXPERIMENT = Experiment(
    script=pathlib.Path(__file__).resolve(),
    title=alexnet_cifar10.NAME,
    network=lambda options: zoo.alexnet(options.placement),
    datasets=("cifar10",),
    presets={
        "quick": Preset.of(3, 5, "3 + 5 epochs, under ten minutes on 2 cores", **_OURS),
        "standard": Preset.of(22, 18, "22 + 18 epochs, one-cycle Adam, random crops and flips", **_OURS),
        "paper": Preset.of(50, 100, "50 + 100 epochs, the paper's Adam", TrainingSettings.paper),
    },
    options=add_options,
    augment=random_crop_and_flip,
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

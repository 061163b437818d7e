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


EXPERIMENT = Experiment(
    script=pathlib.Path(__file__).resolve(),
    title=alexnet_cifar10.NAME,
    network=lambda options: zoo.alexnet(options.placement),
    datasets=("cifar10",),
    presets={
        "quick": Preset(
            TrainingSettings(epochs=3, batch_size=128, alpha=1e-3),
            TrainingSettings(epochs=5, batch_size=128, alpha=1e-3),
            help="3 + 5 epochs, under ten minutes on 2 cores",
        ),
        "standard": Preset(
            TrainingSettings(epochs=22, batch_size=128, alpha=1e-3),
            TrainingSettings(epochs=18, batch_size=128, alpha=1e-3),
            help="22 + 18 epochs, one-cycle Adam, random crops and flips",
        ),
        "paper": Preset(
            TrainingSettings.paper(epochs=50),
            TrainingSettings.paper(epochs=100),
            help="50 + 100 epochs, the paper's Adam",
        ),
    },
    options=add_options,
    augment=random_crop_and_flip,
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

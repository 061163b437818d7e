"""ResNet and B-ResNet on CIFAR-10: the third row of the paper's Table I, from one command; the depth is an option."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

from branchynet.datasets.augmentation import random_crop_and_flip
from branchynet.experiment import Experiment, Preset, main, whole_number
from branchynet.training import TrainingSettings
from networks import resnet_cifar10, zoo


def add_options(parser):
    """The options that only this experiment has."""
    parser.add_argument(
        "--n",
        type=whole_number(1, 200),  # ResNet-1202, the deepest of the ResNet paper (arXiv 1512.03385)
        default=3,
        metavar="N",
        help="residual blocks in each of the three groups; the depth is 6 N + 2: 3 is ResNet-20, 18 the paper's "
        "ResNet-110 (default: %(default)s)",
    )
    parser.add_argument(
        "--branches",
        choices=resnet_cifar10.BRANCHES,
        help="the paper's, made for ResNet-110 and dearer than the whole of ResNet-20, or cheaper ones "
        "(default: pooled; for ResNet-110 light, as its released weights)",
    )


# Settings of both steps of our own presets.
_OURS = {"batch_size": 128, "alpha": 3e-3, "weight_decay": 0.2}
EXPERIMENT = Experiment(
    script=pathlib.Path(__file__).resolve(),
    title=resnet_cifar10.NAME,
    network=lambda options: zoo.resnet(options.n, options.branches),
    datasets=("cifar10",),
    presets={
        "quick": Preset.of(3, 4, "3 + 4 epochs, about 12 minutes on 2 cores for ResNet-20", **_OURS),
        "standard": Preset.of(
            18, 26, "18 + 26 epochs, one-cycle AdamW (weight decay 0.2), random crops and flips", **_OURS
        ),
        "paper": Preset(
            TrainingSettings.paper(epochs=50, batch_size=128),
            TrainingSettings.paper(epochs=100, batch_size=128),
            help="50 + 100 epochs, the paper's Adam, the authors' batch size",
        ),
    },
    options=add_options,
    augment=random_crop_and_flip,
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

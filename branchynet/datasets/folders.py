"""The layouts in which a data set may lie in a folder, whoever put it there: the user, another library, a download.

A layout is data: the files it consists of, the sub-folders in which it is usual, and the function that reads it. A
download is unpacked into a folder in one of these layouts, so that there is one way of reading, not one per source.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from branchynet.datasets import formats
from branchynet.datasets.verify import ARRAY_NAMES, Arrays
from branchynet.errors import DataError

Shapes = Mapping[str, tuple]
"""Shape of each of the four arrays, by name."""


@dataclass(frozen=True)
class Layout:
    """Files that together hold a data set.

    Attributes:
        title: What it is called in messages.
        files: One tuple for each file: the names under which it may be found, the preferred one first.
        subfolders: Where the files may lie below the folder that was given, most specific first; "" is the folder.
        read: Reads the located files, given in the order of `files`, into the four uint8 arrays of the given shapes.
    """

    title: str
    files: tuple[tuple[str, ...], ...]
    subfolders: tuple[str, ...]
    read: Callable[[Sequence[Path], Shapes], Arrays]

    def places(self, folder: Path) -> Iterator[tuple[Path, list[Path]]]:
        """Sub-folders of `folder` that hold all files of this layout, with the path of each file."""
        for subfolder in self.subfolders:
            place = folder / subfolder
            found = [_first_file(place, names) for names in self.files]
            if all(found):
                yield place, found

    def load(self, paths: Sequence[Path], shapes: Shapes) -> Arrays:
        """Read the files.

        Raises:
            DataError: A file is unreadable, cut short, or not of its format; the message names the place.
        """
        try:
            return self.read(paths, shapes)
        except formats.READ_ERRORS as error:
            reason = str(error) or type(error).__name__
            raise DataError(f"{self.title} in {paths[0].parent}: cannot be read: {reason}") from error


def _first_file(folder: Path, names: Sequence[str]) -> Path | None:
    # os.path.isfile, not Path.is_file: a folder that must not be entered holds nothing, instead of raising.
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)


def _shaped(array: np.ndarray, shape: tuple[int, ...], path: Path) -> np.ndarray:
    if array.dtype != np.uint8 or array.size != int(np.prod(shape)):
        raise DataError(f"{path}: expected uint8 values for {shape}, got {array.dtype} of shape {array.shape}")
    return array.reshape(shape)


def _named(path: Path, read: Callable, *arguments):
    """Call a reader of one file so that its errors name that file."""
    try:
        return read(path, *arguments)
    except (DataError, *formats.READ_ERRORS) as error:
        raise DataError(f"{path}: {str(error) or type(error).__name__}") from error


def _read_idx_files(paths: Sequence[Path], shapes: Shapes) -> Arrays:
    arrays = {}
    for key, path in zip(ARRAY_NAMES, paths):
        n_images, *rest = shapes[key]
        idx_shape = (n_images, *rest[1:])  # idx images are (N, H, W): the one channel is not stored
        arrays[key] = _named(path, formats.read_idx, idx_shape).reshape(shapes[key])
    return arrays


def _read_chainer_mnist(paths: Sequence[Path], shapes: Shapes) -> Arrays:
    arrays = {}
    for part, path in zip(("train", "test"), paths):
        archive = _named(path, formats.read_npz, ("x", "y"))
        for key, kind in (("x", "images"), ("y", "labels")):
            arrays[f"{part}_{kind}"] = _shaped(archive[key], shapes[f"{part}_{kind}"], path)
    return arrays


def _read_chainer_cifar(paths: Sequence[Path], shapes: Shapes) -> Arrays:
    archive = _named(paths[0], formats.read_npz, ("train_x", "train_y", "test_x", "test_y"))
    keys = zip(ARRAY_NAMES, ("train_x", "train_y", "test_x", "test_y"))
    return {name: _shaped(archive[key], shapes[name], paths[0]) for name, key in keys}


def _batch_shapes(n_batches: int, shapes: Shapes) -> list[tuple[int, ...]]:
    """Shape of the images in each file of the Python version: the training batches, then the test batch."""
    n_train, *image_shape = shapes["train_images"]
    return [(n_train // n_batches, *image_shape)] * n_batches + [shapes["test_images"]]


def _join_batches(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Arrays:
    *train, test = batches
    return {
        "train_images": np.concatenate([images for images, _ in train]),
        "train_labels": np.concatenate([labels for _, labels in train]),
        "test_images": test[0],
        "test_labels": test[1],
    }


def _read_batch_file(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    with open(path, "rb") as file:
        return formats.read_cifar_batch(file, shape)


def _read_cifar_batches(paths: Sequence[Path], shapes: Shapes) -> Arrays:
    batch_shapes = _batch_shapes(len(paths) - 1, shapes)
    return _join_batches([_named(path, _read_batch_file, shape) for path, shape in zip(paths, batch_shapes)])


def _read_archive(path: Path, shapes: Shapes) -> Arrays:
    batches = []
    with tarfile.open(path, "r:*") as archive:
        for name, shape in zip(CIFAR_BATCHES, _batch_shapes(len(CIFAR_BATCHES) - 1, shapes)):
            file = archive.extractfile(f"cifar-10-batches-py/{name}")
            if file is None:
                raise DataError(f"expected cifar-10-batches-py/{name} to be a file")
            batches.append(formats.read_cifar_batch(file, shape))
    return _join_batches(batches)


def _read_cifar_archive(paths: Sequence[Path], shapes: Shapes) -> Arrays:
    return _named(paths[0], _read_archive, shapes)


def _read_cifar_pngs(paths: Sequence[Path], shapes: Shapes) -> Arrays:
    *pngs, train_labels, test_labels = paths
    batch_shapes = _batch_shapes(len(pngs) - 1, shapes)
    images = [_named(path, formats.read_png_rows, shape) for path, shape in zip(pngs, batch_shapes)]
    return {
        "train_images": np.concatenate(images[:-1]),
        "train_labels": _named(train_labels, formats.read_json_labels),
        "test_images": np.ascontiguousarray(images[-1]),
        "test_labels": _named(test_labels, formats.read_json_labels),
    }


CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CHAINER_ROOTS = ("pfnet/chainer", "dataset/pfnet/chainer", ".chainer/dataset/pfnet/chainer")


def mnist_layouts(name: str, torchvision_name: str) -> tuple[Layout, ...]:
    """Layouts of MNIST and of the data sets made in its form: idx files, torchvision's folder, Chainer's cache."""
    idx = Layout(
        title="idx files",
        files=tuple(
            (stem, stem.replace("-idx", ".idx"), f"{stem}.gz", f"{stem.replace('-idx', '.idx')}.gz")
            for stem in IDX_FILES
        ),
        subfolders=(f"{torchvision_name}/raw", torchvision_name, f"{name}/raw", name, "", "raw"),
        read=_read_idx_files,
    )
    chainer_cache = Layout(
        title="Chainer's cache",
        files=(("train.npz",), ("test.npz",)),
        subfolders=(*(f"{root}/{name}" for root in _CHAINER_ROOTS), name, ""),
        read=_read_chainer_mnist,
    )
    return idx, chainer_cache


CIFAR10_LAYOUTS = (
    Layout(
        title="CIFAR-10 batches",
        files=tuple((name,) for name in CIFAR_BATCHES),
        subfolders=("cifar-10-batches-py", "cifar10/cifar-10-batches-py", ""),
        read=_read_cifar_batches,
    ),
    Layout(
        title="Chainer's cache",
        files=(("cifar-10.npz",),),
        subfolders=(*(f"{root}/cifar" for root in _CHAINER_ROOTS), "cifar", ""),
        read=_read_chainer_cifar,
    ),
    Layout(
        title="CIFAR-10 archive",
        files=(("cifar-10-python.tar.gz",),),
        subfolders=("", "cifar10"),
        read=_read_cifar_archive,
    ),
    Layout(
        title="CIFAR-10 as PNG",
        files=(*((f"{name}.png",) for name in CIFAR_BATCHES), ("train_lables.json",), ("test_lables.json",)),
        subfolders=("", "package"),
        read=_read_cifar_pngs,
    ),
)

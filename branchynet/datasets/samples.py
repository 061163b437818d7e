"""What a loaded data set is: raw images and labels, and how they are split.

Images stay the uint8 that they are published as; `branchynet.datasets.transforms` makes them float32.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from branchynet.errors import DataError, SnapshotError


def checksum(array) -> str:
    """sha256 of an array's raw bytes in C order, in hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def describe(array) -> str:
    """Dtype and shape, for a message; the type of what is no array, or is masked."""
    is_array = hasattr(array, "shape") and not isinstance(array, np.ma.MaskedArray)
    return f"{array.dtype} of shape {array.shape}" if is_array else type(array).__name__


@dataclass(frozen=True)
class Samples:
    """Labelled images, in the order in which they were published. The arrays of a loaded data set are read-only.

    Attributes:
        images: (N, C, H, W) uint8, 0 to 255.
        labels: (N,) int32, the index of the class; integers of another size that fit are converted.

    Raises:
        DataError: they are other arrays, or not one label for each image.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        images, labels = self.images, self.labels
        if not _is_plain_array(images) or images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(f"samples: expected images (N, C, H, W) uint8, got {describe(images)}")
        if not _is_plain_array(labels) or labels.dtype.kind not in "iu" or labels.shape != (len(images),):
            raise DataError(f"samples: expected {len(images)} integer labels, one an image, got {describe(labels)}")
        as_int32 = labels.astype(np.int32, copy=False)
        if not np.array_equal(as_int32, labels):
            raise DataError(f"samples: expected labels that int32 can hold, got {labels.min()} to {labels.max()}")
        object.__setattr__(self, "labels", as_int32)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, part: slice) -> Samples:
        """The samples of a slice, as views; no pixel is copied."""
        return Samples(self.images[part], self.labels[part])

    def sha256(self) -> dict:
        """Checksums of the raw bytes (labels as uint8 where they fit, as those that are published): what a record needs
        to say which samples it was made with."""
        small = self.labels.astype(np.uint8)
        labels = small if np.array_equal(small, self.labels) else self.labels
        return {"images": checksum(self.images), "labels": checksum(labels)}


def _is_plain_array(array):
    return isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray)


@dataclass(frozen=True)
class Splits:
    """Three disjoint parts: `train` fits weights, `validation` chooses thresholds, `test` is only reported on."""

    train: Samples
    validation: Samples
    test: Samples


@dataclass(frozen=True)
class Dataset:
    """A data set as published: a training part, a test part, the names of its classes, and where it came from."""

    name: str
    class_names: tuple
    train: Samples
    test: Samples
    source: str

    def identity(self) -> dict:
        """{"name", "train_sha256"}: what a record, and weights, say of the data that they come from."""
        return {"name": self.name, "train_sha256": self.train.sha256()}

    def check_trained_on(self, stem, trained_on) -> None:
        """Refuses weights that were trained on other images.

        Args:
            stem: of the weights, for the message.
            trained_on: the `identity` of what they say that they were trained on; None where they do not say.

        Raises:
            SnapshotError: that is not this data set.
        """
        if trained_on not in (None, self.identity()):
            raise SnapshotError(f"{stem}: expected weights trained on {self.identity()}, got some of {trained_on}")

    def split(self, n_validation=5000) -> Splits:
        """Sets aside the last `n_validation` training images as validation part.

        The paper chooses its thresholds on the test set; a part of their own keeps the reported test figures honest.

        Raises:
            DataError: `n_validation` is no whole number, is negative, or leaves no image to train on.
        """
        n_images = len(self.train)
        is_whole = isinstance(n_validation, (int, np.integer)) and not isinstance(n_validation, bool)
        if not is_whole or not 0 <= n_validation < n_images:
            raise DataError(f"n_validation: expected 0 to {n_images - 1} of {n_images} images, got {n_validation!r}")
        n_train = n_images - n_validation
        return Splits(self.train[:n_train], self.train[n_train:], self.test)

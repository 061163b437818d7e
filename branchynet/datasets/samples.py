"""What a loaded data set is: raw images and labels, and how they are split.

Images stay as the uint8 they are published as; `branchynet.datasets.preprocessing` turns them into float32.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from branchynet.errors import DataError


@dataclass(frozen=True)
class Samples:
    """Labelled images, in the order in which they were published. The arrays of a loaded data set are read-only.

    Attributes:
        images: (N, C, H, W) uint8, 0 to 255.
        labels: (N,) int32, the index of the class.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        if len(self.images) != len(self.labels):
            raise DataError(f"samples: expected as many labels as images ({len(self.images)}), got {len(self.labels)}")

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, part: slice) -> Samples:
        """The samples of a slice, as views; no pixel is copied."""
        return Samples(self.images[part], self.labels[part])

    def sha256(self) -> dict[str, str]:
        """Checksums of the raw bytes (labels as uint8): what a record needs to say which samples it was made with."""
        return {
            "images": hashlib.sha256(np.ascontiguousarray(self.images)).hexdigest(),
            "labels": hashlib.sha256(np.ascontiguousarray(self.labels, dtype=np.uint8)).hexdigest(),
        }


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
    class_names: tuple[str, ...]
    train: Samples
    test: Samples
    source: str

    def split(self, n_validation: int = 5000) -> Splits:
        """Set aside the last `n_validation` training images as validation part.

        The paper chooses its thresholds on the test set; a part of their own keeps the reported test figures honest.

        Raises:
            DataError: `n_validation` is negative, or leaves no image to train on.
        """
        n_images = len(self.train)
        if not 0 <= n_validation < n_images:
            raise DataError(f"n_validation: expected 0 to {n_images - 1} of {n_images} images, got {n_validation}")
        n_train = n_images - n_validation
        return Splits(self.train[:n_train], self.train[n_train:], self.test)

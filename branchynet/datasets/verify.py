"""The last check of every source: raw arrays are compared with the checksums of the published data set.

It does not matter where an array came from (idx, PNG, npz, a pickle's bytes, our own cache): a wrong one never gets
past `verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from branchynet.errors import DataError

if TYPE_CHECKING:
    from branchynet.datasets.specs import DatasetSpec

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")

Arrays = Mapping[str, np.ndarray]
"""The four arrays of a data set by name, all uint8: images (N, C, H, W), labels (N,)."""


def sha256(array: np.ndarray) -> str:
    """Checksum of an array's raw bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def verify(spec: DatasetSpec, arrays: Arrays, where: str) -> None:
    """Check that `arrays` are the data set that `spec` describes, bit for bit.

    Args:
        where: Where the arrays came from, for the message.

    Raises:
        DataError: An array is missing, or its dtype, shape or checksum is not the published one.
    """
    for key, shape in spec.shapes().items():
        if key not in arrays:
            raise DataError(f"{where}: {spec.name}: {key} is missing")
        array = arrays[key]
        if array.dtype != np.uint8 or array.shape != shape:
            got = f"{array.dtype} of shape {array.shape}"
            raise DataError(f"{where}: {spec.name}: {key}: expected uint8 of shape {shape}, got {got}")
        got = sha256(array)
        if got != spec.sha256[key]:
            raise DataError(
                f"{where}: {spec.name}: {key}: expected the sha256 {spec.sha256[key]}, got {got}; "
                "the data are altered, or belong to another data set"
            )


def identify(arrays: Arrays, specs: Iterable[DatasetSpec]) -> str | None:
    """Name of the data set among `specs` that `arrays` are, bit for bit; None if they are none of them.

    MNIST and Fashion-MNIST use the same file names and sizes, so only the content tells them apart.
    """
    for spec in specs:
        try:
            verify(spec, arrays, "")
        except DataError:
            continue
        return spec.name
    return None

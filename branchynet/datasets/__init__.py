"""Data sets of the experiments: MNIST, Fashion-MNIST and CIFAR-10, fetched once, verified every time.

    from branchynet import datasets
    dataset = datasets.load("mnist")
    splits = dataset.split(n_validation=5000)
    x = datasets.scale(splits.train.images)  # (55000, 1, 28, 28) float32 in [0, 1]

Rooms: `specs` says what a data set must be and where it can be had, `loading` goes through the places in order,
`cache` keeps it, `folders` and `formats` read it, `fetch` and `clients` get it, `verify` checks it, `samples` is what
comes out, `preprocessing` makes it a network's input.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from branchynet.datasets.loading import load_arrays
from branchynet.datasets.preprocessing import Normaliser, scale
from branchynet.datasets.samples import Dataset, Samples, Splits
from branchynet.datasets.specs import SPECS, DatasetSpec
from branchynet.errors import DataError

NAMES = tuple(SPECS)

__all__ = ["NAMES", "Dataset", "Normaliser", "Samples", "Splits", "load", "scale"]


def load(name: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load a data set: from the cache or a folder that holds it, else from the first source that can be reached.

    Args:
        name: One of `NAMES`: mnist, fashion-mnist, cifar10.
        data_dir: Folder that holds the data set in any known layout, or into which it is downloaded. If None: the
            environment variable BRANCHYNET_DATA, else $XDG_CACHE_HOME/branchynet, else ~/.cache/branchynet.

    Returns:
        The data set, bit for bit the published one.

    Raises:
        DataError: Unknown name; no source can be reached; a file that is altered or cut short; a folder that cannot be
            written to.
    """
    if name not in SPECS:
        raise DataError(f"data set: expected one of {', '.join(NAMES)}; got {name!r}")
    return load_spec(SPECS[name], data_dir)


def load_spec(spec: DatasetSpec, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load the data set that a spec describes, as `load` does; for data sets that are not in `NAMES`."""
    arrays, source = load_arrays(spec, data_dir)
    train, test = (_samples(arrays, part) for part in ("train", "test"))
    return Dataset(spec.name, spec.class_names, train, test, source)


def _samples(arrays: Mapping[str, np.ndarray], part: str) -> Samples:
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"].astype(np.int32)
    for array in (images, labels):
        array.flags.writeable = False  # the checked data stay what they are
    return Samples(images, labels)

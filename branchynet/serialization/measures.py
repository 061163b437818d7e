"""Fitted measures of confidence as `.npz` and `.json`."""

from __future__ import annotations

import numpy as np

from branchynet.confidence import MEASURES
from branchynet.errors import SnapshotError
from branchynet.machine.files import replacing
from branchynet.serialization.arrays import open_arrays, paths_of, read_description_of, write_description


def save_measure(measure, stem, provenance=None) -> None:
    """Writes `STEM.npz` (what a confidence measure has learned) and `STEM.json` (which measure, and its settings).

    Args:
        measure: a `branchynet.confidence.Measure`; a fitted one, if it is one that is fitted.
        stem: path without an ending; its folder exists.
        provenance: JSON-able, what it was fitted to.

    Raises:
        NotFittedError: there is nothing to save yet.
        OutputError: the files cannot be written.
    """
    npz_path, json_path = paths_of(stem)
    arrays = measure.arrays()
    with replacing(npz_path) as handle:
        np.savez(handle, **arrays)
    write_description(npz_path, json_path, {"measure": measure.describe()}, provenance)


def load_measure(stem):
    """The measure that `save_measure` wrote; one of your own must have been registered before.

    Returns:
        a `branchynet.confidence.Measure`.

    Raises:
        SnapshotError: the files are missing, damaged, do not belong together, or hold no measure.
        MeasureError: no measure of that name is registered, or its settings or arrays are of another form.
    """
    npz_path, json_path = paths_of(stem)
    description = read_description_of(npz_path, json_path, "measure").get("measure")
    if not isinstance(description, dict) or not {"name", "settings"} <= set(description):
        raise SnapshotError(f"measure: expected the description of a measure in {json_path}, got another one")
    with open_arrays(npz_path) as arrays:
        return MEASURES.get(description["name"]).from_arrays(description["settings"], dict(arrays))

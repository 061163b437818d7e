"""Fitted measures of confidence as `.npz` and `.json`."""

from branchynet.confidence import MEASURES
from branchynet.errors import SnapshotError
from branchynet.serialization.arrays import paths_of, read_pair, write_pair


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
    write_pair(stem, measure.arrays(), {"measure": measure.describe()}, provenance)


def load_measure(stem):
    """The measure that `save_measure` wrote; one of your own must have been registered before.

    Returns:
        a `branchynet.confidence.Measure`.

    Raises:
        SnapshotError: the files are missing, damaged, do not belong together, or hold no measure.
        MeasureError: no measure of that name is registered, or its settings or arrays are of another form.
    """
    description, arrays = read_pair(stem, "measure")
    found = description.get("measure")
    if not isinstance(found, dict) or not {"name", "settings"} <= set(found) or not isinstance(found["settings"], dict):
        raise SnapshotError(f"measure: expected the description of a measure in {paths_of(stem)[1]}, got another one")
    return MEASURES.get(found["name"]).from_arrays(found["settings"], arrays)

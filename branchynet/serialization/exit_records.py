"""Exit records as `.npz` and `.json`: what every exit said of every sample, kept so that a report needs no network."""

import dataclasses

import numpy as np

from branchynet.confidence import as_measure
from branchynet.errors import SnapshotError, ThresholdError
from branchynet.serialization.arrays import paths_of, read_pair, write_pair
from branchynet.thresholds import ExitRecords

# In front of the names of measures.
_SCORES = "scores/"


def save_exit_records(by_measure, stem, provenance=None) -> None:
    """Writes `STEM.npz` (labels, predictions, scores by each measure) and `STEM.json` (what they are of).

    Args:
        by_measure: {name of a measure: `branchynet.thresholds.ExitRecords`}, of the same samples and predictions; of
            10,000 samples and two exits by two measures they take 200 kB.
        stem: path without an ending; its folder exists.
        provenance: JSON-able, which samples and which run.

    Raises:
        OutputError: the files cannot be written.
    """
    first = next(iter(by_measure.values()))
    kind = np.min_scalar_type(first.n_classes)
    arrays = {f"{_SCORES}{name}": records.scores for name, records in by_measure.items()}
    arrays.update(labels=first.labels.astype(kind), predictions=first.predictions.astype(kind))
    write_pair(stem, arrays, {"measures": list(by_measure)}, provenance)


def load_exit_records(stem) -> dict:
    """What `save_exit_records` wrote.

    Returns:
        {name of a measure: `branchynet.thresholds.ExitRecords`}

    Raises:
        SnapshotError: the files are missing, damaged, or do not belong together.
        MeasureError: a measure is not known.
    """
    description, arrays = read_pair(stem, "exit records")
    try:
        # Only integers are the same kind as int32.
        labels, predictions = (arrays[key].astype(np.int32, casting="same_kind") for key in ("labels", "predictions"))
        by_measure = {
            name: ExitRecords(arrays[f"{_SCORES}{name}"], predictions, labels) for name in description.get("measures")
        }
        if not by_measure:
            raise KeyError("no measure")
    except (KeyError, TypeError, ValueError, ThresholdError) as error:
        expected = f"expected labels, predictions and scores in {paths_of(stem)[0]}"
        raise SnapshotError(f"exit records: {expected}: {error}") from error
    return {name: dataclasses.replace(of_one, lowest=as_measure(name).lowest) for name, of_one in by_measure.items()}

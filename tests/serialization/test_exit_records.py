"""Exit records as .npz + JSON: a round trip, and an error where the files are not what they should be."""

import numpy as np
import pytest
from tiny import tiny_logits

from branchynet.confidence import as_measure
from branchynet.errors import MeasureError, SnapshotError
from branchynet.serialization import load_exit_records, save_exit_records
from branchynet.serialization.arrays import read_pair, write_pair
from branchynet.thresholds import ExitRecords

NAMES = ("entropy", "max-probability")


def some_records(names=NAMES, **options):
    """{name of a measure: records of the same pass}"""
    logits, labels = tiny_logits(**options)
    return {name: ExitRecords.of(logits, labels, name) for name in names}


@pytest.fixture
def stem(tmp_path):
    """Saved records."""
    save_exit_records(some_records(), tmp_path / "exit_records", {"seed": 3})
    return tmp_path / "exit_records"


def test_records_survive_a_round_trip_with_every_setting_of_t(stem):
    saved, loaded = some_records(), load_exit_records(stem)
    assert list(loaded) == list(NAMES)
    for name, ours in loaded.items():
        for key in ("scores", "predictions", "labels"):
            np.testing.assert_array_equal(getattr(ours, key), getattr(saved[name], key))
        assert ours.lowest == saved[name].lowest
        settings = [(0.0, 0.0), (0.4, 0.2), (9.0, 0.0)]
        np.testing.assert_array_equal(ours.evaluate(settings).accuracies, saved[name].evaluate(settings).accuracies)


def test_a_measure_keeps_its_lower_bound(tmp_path, monkeypatch):
    """T at the bound lets no sample leave, which 0 would not where scores may be negative."""
    monkeypatch.setattr(type(as_measure("max-probability")), "lowest", -2.0)
    save_exit_records(some_records(), tmp_path / "r")
    assert {name: loaded.lowest for name, loaded in load_exit_records(tmp_path / "r").items()} == {
        "entropy": 0.0,
        "max-probability": -2.0,
    }


def test_what_they_are_of_stands_beside_them(stem):
    description, arrays = read_pair(stem, "exit records")
    assert description["provenance"] == {"seed": 3} and description["measures"] == list(NAMES)
    assert arrays["labels"].dtype == arrays["predictions"].dtype == np.uint8, "small, in as few bytes as classes need"


@pytest.mark.parametrize("n", [1, 300])
def test_one_sample_and_many_are_kept(tmp_path, n):
    save_exit_records(some_records(n=n), tmp_path / "r")
    assert load_exit_records(tmp_path / "r")["entropy"].scores.shape == (3, n)


def changed(**changes):
    """Saves the pair anew with other arrays (None: without) or, under "measures", another description."""

    def spoil(stem):
        description, arrays = read_pair(stem, "exit records")
        provenance = description.pop("provenance")
        description["measures"] = changes.get("measures", description["measures"])
        arrays = {**arrays, **{key: value for key, value in changes.items() if key != "measures"}}
        write_pair(stem, {key: array for key, array in arrays.items() if array is not None}, description, provenance)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        changed(labels=None),
        changed(predictions=None),
        changed(labels=np.zeros(3, np.uint8)),
        changed(predictions=np.zeros((3, 7), np.uint8)),
        changed(labels=np.array("text")),
        *[changed(labels=np.ones(200, kind)) for kind in (complex, float, "U1")],
        changed(predictions=np.ones((3, 200), complex)),
        changed(**{"scores/entropy": np.ones((3, 200), np.complex64)}),
        changed(**{"scores/entropy": np.zeros((3, 200))}),
        changed(measures=None),
        changed(measures=[]),
        changed(measures=5),
        changed(measures=["entropy", "margin"]),
        # Scores of a second measure that are of other samples; and weights, which are no exit records.
        changed(**{"scores/max-probability": np.zeros((3, 7), np.float32)}),
        lambda stem: write_pair(stem, {"trunk/0/W": np.zeros(3)}, {"loss_weights": [1.0]}, {}),
    ],
)
def test_foreign_files_are_refused(stem, spoil):
    spoil(stem)
    with pytest.raises(SnapshotError, match="exit records: expected labels, predictions and scores in .*npz: "):
        load_exit_records(stem)


def test_an_unknown_measure_is_named(stem):
    changed(measures=["mine"], **{"scores/mine": np.zeros((3, 200), np.float32)})(stem)
    with pytest.raises(MeasureError, match="mine"):
        load_exit_records(stem)

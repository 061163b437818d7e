"""Measures saved to a pair of files and read back."""

import json

import numpy as np
import pytest
from tiny import tiny_logits

from branchynet.confidence import Energy, OpenMax, measure_names
from branchynet.errors import MeasureError, NotFittedError, OutputError, SnapshotError
from branchynet.serialization import load_measure, save_measure

NAMES = measure_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_measure_survives_a_round_trip(name, measures, tmp_path):
    save_measure(measures[name], tmp_path / "m", {"fitted to": "validation"})
    loaded, (logits, _) = load_measure(tmp_path / "m"), tiny_logits(5, seed=2)
    assert type(loaded) is type(measures[name]) and loaded.describe() == measures[name].describe()
    for ours, theirs in zip(loaded.scores_of_exits(logits), measures[name].scores_of_exits(logits)):
        np.testing.assert_array_equal(ours, theirs)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == sorted(loaded.fitted_names)


def test_settings_are_saved(tmp_path):
    save_measure(Energy(tau=2.5), tmp_path / "m")
    assert load_measure(tmp_path / "m").tau == 2.5


def test_a_measure_that_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save_measure(OpenMax(), tmp_path / "m")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="cannot write"):
        save_measure(Energy(), tmp_path / "missing" / "m")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sha256": "0"}, SnapshotError, "sha256 differs"),
        ({"measure": None}, SnapshotError, "expected the description of a measure"),
        ({"measure": {"name": "x", "settings": {}}}, MeasureError, "one of entropy, .*; got 'x'"),
        ({"measure": {"name": "openmax", "settings": {"tau": 1}}}, MeasureError, r"settings \('alpha', 'eta'\), got"),
        ({"measure": {"name": "energy", "settings": {}}}, MeasureError, r"expected the arrays \(\), got"),
    ],
)
def test_a_file_that_is_not_a_measure_is_refused(change, error, message, measures, tmp_path):
    save_measure(measures["openmax"], tmp_path / "m")
    description = json.loads((tmp_path / "m.json").read_text())
    (tmp_path / "m.json").write_text(json.dumps({**description, **change}))
    with pytest.raises(error, match=message):
        load_measure(tmp_path / "m")


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(SnapshotError, match=r"measure: expected m.npz and m.json in"):
        load_measure(tmp_path / "m")

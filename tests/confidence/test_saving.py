"""Measures saved to a pair of files and read back."""

import numpy as np
import pytest
from tiny import tiny_logits

from branchynet.confidence import MEASURES
from branchynet.confidence.direct import Energy
from branchynet.confidence.openmax import OpenMax
from branchynet.errors import MeasureError, NotFittedError, SnapshotError
from branchynet.serialization import load_measure, save_measure
from branchynet.serialization.arrays import read_pair, write_pair


@pytest.mark.parametrize("name", MEASURES.names())
def test_a_measure_survives_a_round_trip(name, measures, tmp_path):
    save_measure(measures[name], tmp_path / "m", {"fitted to": "validation"})
    loaded, (logits, _) = load_measure(tmp_path / "m"), tiny_logits(5, seed=2)
    assert type(loaded) is type(measures[name]) and loaded.describe() == measures[name].describe()
    np.testing.assert_array_equal(loaded.scores_of_exits(logits), measures[name].scores_of_exits(logits))
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == sorted(loaded.fitted_names)


def test_settings_are_saved(tmp_path):
    save_measure(Energy(tau=2.5), tmp_path / "m")
    assert load_measure(tmp_path / "m").tau == 2.5


def test_a_measure_that_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save_measure(OpenMax(), tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"measure": None}, SnapshotError, "expected the description of a measure"),
        ({"measure": {"name": "x", "settings": {}}}, MeasureError, "one of entropy, .*; got 'x'"),
        ({"measure": {"name": "openmax", "settings": {"tau": 1}}}, MeasureError, r"settings \('alpha', 'eta'\), got"),
        ({"measure": {"name": "energy", "settings": {}}}, MeasureError, r"expected the arrays \(\), got"),
    ],
)
def test_a_file_that_is_not_a_measure_is_refused(change, error, message, measures, tmp_path):
    save_measure(measures["openmax"], tmp_path / "m")
    description, arrays = read_pair(tmp_path / "m", "measure")
    write_pair(tmp_path / "m", arrays, {**description, **change}, {})
    with pytest.raises(error, match=message):
        load_measure(tmp_path / "m")


@pytest.mark.parametrize("name", ["shape_", "scale_"])
def test_weibull_distributions_must_be_positive_and_may_be_infinite(name, measures):
    measure = measures["openmax"]
    infinite = {**measure.arrays(), "scale_": np.full_like(measure.scale_, np.inf)}
    OpenMax.from_arrays({}, infinite).scores(0, np.zeros((1, 3), np.float32))
    with pytest.raises(MeasureError, match=f"openmax: {name}: expected numbers > 0"):
        OpenMax.from_arrays({}, {**measure.arrays(), name: np.zeros_like(measure.scale_)})

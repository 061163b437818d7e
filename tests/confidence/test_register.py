"""Measures of one's own, added by one function or one class."""

import math

import numpy as np
import pytest
from tiny import tiny_logits

from branchynet.confidence import Measure, as_measure, measure_class, measure_names, register_measure
from branchynet.errors import MeasureError
from branchynet.serialization import load_measure, save_measure
from branchynet.thresholds import ExitRecords, evaluate

NAMES = measure_names()


@pytest.fixture
def register(monkeypatch):
    """`register_measure`, whose measures are gone after the test."""
    monkeypatch.setattr("branchynet.confidence.measure._REGISTERED", {name: measure_class(name) for name in NAMES})
    return register_measure


def test_one_function_adds_a_measure(register, tmp_path, device):
    @register("largest logit")
    def largest_logit(logits):
        return -logits.max(axis=1)

    logits, labels = tiny_logits(10)
    records = ExitRecords.of([device.send(z) for z in logits], labels, "largest logit")
    np.testing.assert_array_equal(records.scores, -logits.max(axis=2))
    assert evaluate(records, -math.inf).exit_shares == (0, 0, 1)
    assert evaluate(records, -1e-9).exit_shares[0] > 0, "thresholds may be negative"
    assert "largest logit" in measure_names()
    save_measure(as_measure("largest logit"), tmp_path / "m")
    assert load_measure(tmp_path / "m").score_of_one(0, [1.0, 3.0]) == -3


def test_one_class_adds_a_measure(register):
    @register("constant")
    class Constant(Measure):
        setting_names = ("value",)

        def __init__(self, value=2):
            self.value = value

        def scores(self, exit_index, logits, earlier=()):
            return np.full(len(logits), self.value, np.float32)

    assert Constant(5).describe() == {"name": "constant", "settings": {"value": 5}}
    assert as_measure("constant").score_of_one(0, [1.0]) == 2


def test_a_function_that_returns_no_scores_is_refused(register):
    register("wrong")(lambda logits: logits)
    with pytest.raises(MeasureError, match=r"wrong: expected scores of shape \(4,\), got \(4, 3\)"):
        as_measure("wrong").scores(0, np.zeros((4, 3), np.float32))


@pytest.mark.parametrize("target", [3, int])
def test_only_functions_and_measures_can_be_registered(target, register):
    with pytest.raises(MeasureError, match="expected a function or a subclass of Measure"):
        register("x")(target)


@pytest.mark.parametrize("measure", ["entropi", 3, None])
def test_a_measure_that_does_not_exist_is_refused(measure):
    with pytest.raises(MeasureError, match=f"expected a Measure or one of entropy, .*; got {measure!r}"):
        as_measure(measure)

"""Sentences of the study's report, which follow from its numbers."""

import pytest
from future import report

from branchynet.machine.devices import get_device
from branchynet.records import environment


@pytest.mark.parametrize(
    ("low", "high", "points", "words"),
    [
        (0.99, 1.2, 0.0, "gains nothing that can be told from noise"),
        (1.0, 1.2, 0.0, "gains nothing that can be told from noise"),
        (0.8, 0.9, 0.0, "It is slower"),
        (1.1, 1.2, 0.15, "an accuracy that cannot be told from the reference's"),
        (1.1, 1.2, 0.25, "at a higher accuracy"),
        (1.1, 1.2, -0.25, "at the cost of accuracy"),
    ],
)
def test_the_verdict_follows_from_the_numbers(low, high, points, words):
    sides = {"latency_ms": {"mean": 0.1}, "accuracy_pct": 99.0}
    timed = {
        "best": sides,
        "reference": sides,
        "gain": {"value": (low + high) / 2, "low": low, "high": high},
        "saved_ms": 0.004,
        "difference": {"points": points, "standard_error_points": 0.1},
    }
    assert words in report.verdict({"n_tried": 7, "best": {"measure": "margin", "goal": "knee"}, "timed": timed})


def test_without_comparisons_of_training_the_report_says_where_they_come_from():
    result = {"command": "", "environment": environment(get_device("cpu"), 1), "networks": [], "training": []}
    assert "Skipped: no results of `experiments/compare_training.py`" in report.future_work(result)


def test_where_nothing_is_faster_nothing_is_gained():
    assert "gain nothing" in report.verdict({"n_tried": 7, "best": None, "timed": None})

"""What the exits of a network that does not exist say of samples that do not exist, for the tests of choosing T."""

from __future__ import annotations

import numpy as np

from branchynet.choosers import ExitCosts
from branchynet.choosers.candidates import get_scores
from branchynet.thresholds import ExitRecords


def make_records(rng, n_samples=200, n_exits=2, n_classes=4):
    """Samples from easy to hard; hard ones have high scores and wrong answers, the less so the later the exit."""
    hardness = rng.random(n_samples)
    labels = rng.integers(0, n_classes, n_samples).astype(np.int32)
    wrong = rng.random((n_exits, n_samples)) < hardness**2 / np.arange(1, n_exits + 1)[:, None]
    predictions = np.where(wrong, (labels + 1) % n_classes, labels).astype(np.int32)
    scores = np.abs(hardness + rng.normal(0, 0.1, (n_exits, n_samples))).astype(np.float32)
    return ExitRecords(scores, predictions, labels)


def costs_of(records, unit="ms"):
    """Exit n costs n ms."""
    return ExitCosts(np.arange(1.0, records.n_exits + 1), unit)


def naive_exits(records, setting):
    """The exit that each sample takes, one sample after another."""
    for scores in get_scores(records).T:
        leaving = [n for n, threshold in enumerate(setting) if scores[n] < np.float32(threshold)]
        yield leaving[0] if leaving else records.n_exits - 1

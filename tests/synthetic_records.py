"""What the exits of a network that does not exist say of samples that do not exist, for the tests of choosing T."""

import numpy as np

from branchynet.thresholds import ExitCosts, ExitRecords


def make_records(rng, n_samples=200, n_exits=2, n_classes=4):
    """Samples from easy to hard; hard ones have high scores and wrong answers, the less so the later the exit."""
    hardness = rng.random(n_samples)
    labels = rng.integers(0, n_classes, n_samples).astype(np.int32)
    wrong = rng.random((n_exits, n_samples)) < hardness**2 / np.arange(1, n_exits + 1)[:, None]
    scores = np.abs(hardness + rng.normal(0, 0.1, (n_exits, n_samples))).astype(np.float32)
    return records_of(scores, ~wrong, labels)


def records_of(scores, right, labels=None):
    """Records of scores (n_exits, N) in which (n_exits, N) answers are right; all labels are 0 unless given."""
    labels = np.zeros(np.shape(right)[1], np.int32) if labels is None else labels
    predictions = np.where(right, labels, (labels + 1) % 4).astype(np.int32)
    return ExitRecords(np.array(scores, np.float32), predictions, labels)


def costs_of(records, unit="ms"):
    """Exit n costs n ms."""
    return ExitCosts(np.arange(1.0, records.n_exits + 1), unit)


def naive_exits(scores, setting):
    """The exit that each sample takes, scores (n_exits, N), one sample after another."""
    exits = []
    for of_sample in scores.T:
        leaving = [n for n, threshold in enumerate(setting) if np.float32(of_sample[n]) < np.float32(threshold)]
        exits.append(leaving[0] if leaving else len(scores) - 1)
    return exits


def next_float(value, direction=np.inf):
    """The next float32 number above a value, or, towards -inf, below."""
    return np.nextafter(np.float32(value), np.float32(direction))

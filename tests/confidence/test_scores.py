"""Scores of every measure against naive references and at the ends of their range."""

import math

import numpy as np
import pytest
from tiny import tiny_logits

from branchynet.confidence import MEASURES, as_measure, softmax
from branchynet.confidence.direct import Energy, Patience
from branchynet.machine.devices import to_host
from branchynet.thresholds import ExitRecords

NAMES = MEASURES.names()
# Measures that score one sample in plain Python too.
OF_ONE = ["entropy", "max-probability", "margin", "energy"]


def naive_softmax(row):
    exponentials = [math.exp(z - max(row)) for z in row]
    return [e / sum(exponentials) for e in exponentials]


def naive_entropy(row):
    return -sum(p * math.log(p) for p in naive_softmax(row) if p > 0)


def naive_perceptron(x, measure, exit_index):
    hidden = np.maximum(np.dot(x, measure.hidden_W_[exit_index]) + measure.hidden_b_[exit_index], 0)
    return 1 - 1 / (1 + math.exp(-(np.dot(hidden, measure.output_W_[exit_index]) + measure.output_b_[exit_index])))


def naive_openmax(row, measure, exit_index):
    """Algorithm 2 of the paper, class after class."""
    best_first = sorted(range(len(row)), key=lambda c: -row[c])
    known, unknown = [z - min(row) for z in row], 0.0
    for i, c in enumerate(best_first[: measure.alpha], start=1):
        n_shrunk = min(measure.alpha, len(row))
        distance = math.dist(row, measure.mean_[exit_index, c])
        cdf = 1 - math.exp(-((distance / measure.scale_[exit_index, c]) ** measure.shape_[exit_index, c]))
        omega = 1 - (n_shrunk - i + 1) / n_shrunk * cdf
        unknown += known[c] * (1 - omega)
        known[c] *= omega
    return 1 - max(naive_softmax([*known, unknown])[:-1])


def naive_opengan(row, measure, exit_index):
    standardised = (np.array(row) - measure.mean_[exit_index]) / measure.deviation_[exit_index]
    return naive_perceptron(np.clip(standardised, -10, 10), measure, exit_index)


def naive_patience(row, earlier):
    answers = [int(np.argmax(z)) for z in (*earlier, row)]
    n_agreeing = 0
    while n_agreeing < len(answers) and answers[-1 - n_agreeing] == answers[-1]:
        n_agreeing += 1
    return 1 / n_agreeing


# (logits of one sample, measure, exit, logits of the exits before) -> score
NAIVE = {
    "entropy": lambda z, m, n, e: naive_entropy(z),
    "max-probability": lambda z, m, n, e: 1 - max(naive_softmax(z)),
    "margin": lambda z, m, n, e: 1 - np.diff(sorted(naive_softmax(z))[-2:])[0],
    "energy": lambda z, m, n, e: -m.tau * math.log(sum(math.exp(x / m.tau) for x in z)),
    "patience": lambda z, m, n, e: naive_patience(z, e),
    "calibrated-entropy": lambda z, m, n, e: naive_entropy([x / m.tau_[n] for x in z]),
    "correctness-net": lambda z, m, n, e: naive_perceptron(sorted(naive_softmax(z)), m, n),
    "openmax": lambda z, m, n, e: naive_openmax(z, m, n),
    "opengan": lambda z, m, n, e: naive_opengan(z, m, n),
}


def naive_scores(measure, logits, exit_index):
    """Sample after sample: logits (n_exits, N, n_classes) -> list of N scores of one exit."""
    samples = np.swapaxes(logits, 0, 1).tolist()
    return [NAIVE[measure.name](of[exit_index], measure, exit_index, of[:exit_index]) for of in samples]


@pytest.mark.parametrize("measure", [*NAMES, Energy(0.5), Energy(3.0)])
def test_scores_are_those_of_a_naive_loop(measure, measures, device):
    measure, (logits, _) = measures.get(measure, measure), tiny_logits(40, seed=1)
    scores = measure.scores_of_exits([device.send(z) for z in logits])
    assert [exit_scores.dtype for exit_scores in scores] == [np.float32] * 3
    expected = [naive_scores(measure, logits, index) for index in range(3)]
    np.testing.assert_allclose([to_host(exit_scores) for exit_scores in scores], expected, rtol=1e-4, atol=1e-6)


def large_logits(size):
    return np.array([[size, 0, 0], [0, -size, size], [-size] * 3, [size] * 3], np.float32)


@pytest.mark.parametrize("measure", [*OF_ONE, Energy(0.5), Energy(3.0)])
@pytest.mark.parametrize("logits", [tiny_logits(40, seed=1)[0][0], large_logits(1e3), large_logits(1e30)])
def test_one_sample_in_plain_python_has_the_same_score(measure, logits, measures):
    measure = measures.get(measure, measure)
    of_one = [measure.score_of_one(0, row) for row in logits.tolist()]
    np.testing.assert_allclose(of_one, measure.scores(0, logits), rtol=1e-3, atol=1e-6)


def test_measures_for_which_plain_python_is_no_gain_do_without():
    assert [name for name in NAMES if MEASURES.get(name).score_of_one] == OF_ONE


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_and_one_sample(name, measures, device):
    logits, _ = tiny_logits(1)
    for n_samples in (0, 1):
        scores = measures[name].scores_of_exits([device.send(z[:n_samples]) for z in logits])
        assert [exit_scores.shape for exit_scores in scores] == [(n_samples,)] * 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_large_logits_give_numbers_not_below_the_lowest(name, size, measures):
    scores = np.stack(measures[name].scores_of_exits([large_logits(size)] * 3))
    assert np.isfinite(scores).all() and (scores >= measures[name].lowest).all()


@pytest.mark.parametrize(
    ("name", "equal", "two_equal"),
    [("entropy", math.log(3), math.log(2)), ("max-probability", 2 / 3, 1 / 2), ("margin", 1, 1)],
)
def test_one_class_certain_logits_and_equal_logits(name, equal, two_equal):
    logits = np.array([[200, 0, 0], [7, 7, 7], [0, -200, 0]], np.float32)
    np.testing.assert_allclose(as_measure(name).scores(0, logits), [0, equal, two_equal], rtol=1e-6, atol=1e-15)
    assert as_measure(name).scores(0, np.array([[5.0]], np.float32)) == [0], "a network of one class"


@pytest.mark.parametrize("name", ["max-probability", "margin"])
def test_samples_whose_best_probability_rounds_to_one_are_told_apart(name):
    scores = as_measure(name).scores(0, np.array([[30, 0, 0], [40, 0, 0]], np.float32))
    assert scores[0] > scores[1] > 0


def test_patience_leaves_once_enough_exits_in_a_row_agree():
    answers = [0, 1, 1, 1]
    logits = [np.eye(2, dtype=np.float32)[[answer]] for answer in answers]
    records = ExitRecords.of(logits, [1], "patience")
    assert records.scores[:, 0].tolist() == [1, 1, 0.5, np.float32(1 / 3)]
    assert [int(records.exits_at(Patience.threshold(m))[0]) for m in (1, 2, 3, 4)] == [0, 2, 3, 3]


def test_softmax_sums_to_one(rng, device):
    probabilities = to_host(softmax(device.send(rng.normal(scale=30, size=(20, 4)).astype(np.float32))))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (probabilities >= 0).all()

"""Scores of every measure against naive references and at the ends of their range."""

import math

import numpy as np
import pytest
from tiny import tiny_logits

from branchynet.confidence import Energy, Patience, as_measure, measure_names
from branchynet.devices import to_host
from branchynet.thresholds import ExitRecords, evaluate

NAMES = measure_names()


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


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_a_naive_loop_in_arrays_and_in_plain_python(name, measures, device):
    measure, (logits, _) = measures[name], tiny_logits(40, seed=1)
    scores = measure.scores_of_exits([device.send(z) for z in logits])
    for index, exit_logits in enumerate(logits):
        rows, earlier = exit_logits.tolist(), np.swapaxes(logits[:index], 0, 1).tolist()
        expected = [NAIVE[name](row, measure, index, before) for row, before in zip(rows, earlier)]
        assert scores[index].dtype == np.float32
        np.testing.assert_allclose(to_host(scores[index]), expected, rtol=1e-4, atol=1e-6)
        of_one = [measure.score_of_one(index, row, before) for row, before in zip(rows, earlier)]
        np.testing.assert_allclose(of_one, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
def test_energy_is_minus_tau_log_sum_exp(tau):
    row = [1.0, -2.0, 0.5]
    expected = NAIVE["energy"](row, Energy(tau), 0, ())
    np.testing.assert_allclose(Energy(tau).scores(0, np.array([row], np.float32)), expected, rtol=1e-6)
    np.testing.assert_allclose(Energy(tau).score_of_one(0, row), expected)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_and_one_sample(name, measures, device):
    logits, _ = tiny_logits(1)
    for n_samples in (0, 1):
        scores = measures[name].scores_of_exits([device.send(z[:n_samples]) for z in logits])
        assert [exit_scores.shape for exit_scores in scores] == [(n_samples,)] * 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_large_logits_give_numbers_not_below_the_lowest(name, size, measures):
    logits = np.array([[size, 0, 0], [0, -size, size], [-size] * 3, [size] * 3], np.float32)
    measure = measures[name]
    for index, scores in enumerate(measure.scores_of_exits([logits] * 3)):
        assert np.isfinite(scores).all() and (scores >= measure.lowest).all()
        of_one = [measure.score_of_one(index, row, [row] * index) for row in logits.tolist()]
        np.testing.assert_allclose(of_one, scores, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "certain", "equal"), [("entropy", 0, math.log(3)), ("max-probability", 0, 2 / 3), ("margin", 0, 1)]
)
def test_one_class_certain_and_equal_logits(name, certain, equal):
    logits = np.array([[200, 0, 0], [7, 7, 7]], np.float32)
    np.testing.assert_allclose(as_measure(name).scores(0, logits), [certain, equal], rtol=1e-6, atol=1e-12)
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
    taken = [evaluate(records, Patience.threshold(m)).exit_shares.index(1) for m in (1, 2, 3, 4)]
    assert taken == [0, 2, 3, 3]

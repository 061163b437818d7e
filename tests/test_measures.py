"""Measures of confidence against naive references, at the ends of their range, fitted, saved, and one added here."""

import json
import math

import numpy as np
import pytest
from tiny import tiny_logits, tiny_measure

from branchynet.confidence import (
    ENTROPY,
    CalibratedEntropy,
    CorrectnessNet,
    Energy,
    Measure,
    OpenGan,
    OpenMax,
    Patience,
    as_measure,
    auroc,
    measure_class,
    measure_names,
    register_measure,
)
from branchynet.confidence.calibration import LOWEST_TAU, negative_log_likelihood
from branchynet.confidence.opengan import _in_parts
from branchynet.confidence.openmax import fit_weibull, weibull_cdf
from branchynet.devices import to_host
from branchynet.errors import MeasureError, NotFittedError, OutputError, SnapshotError
from branchynet.serialization import load_measure, save_measure
from branchynet.thresholds import ExitRecords, evaluate

NAMES = measure_names()
FITTED = [name for name in NAMES if measure_class(name).fitted_names]


@pytest.fixture(scope="module")
def measures():
    """Every registered measure, ready for use on three exits."""
    return {name: tiny_measure(name) for name in NAMES}


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


# Fitted measures


@pytest.mark.parametrize("name", FITTED)
def test_a_measure_that_is_not_fitted_says_so(name):
    logits, _ = tiny_logits(2)
    measure = as_measure(name)
    for use in (
        lambda: measure.scores(0, logits[0]),
        lambda: measure.score_of_one(0, logits[0, 0].tolist()),
        lambda: measure.arrays(),
        lambda: measure.check(3),
        lambda: ExitRecords.of(logits, np.zeros(2, np.int32), measure),
    ):
        with pytest.raises(NotFittedError, match=rf"{name}: expected a fitted measure; call fit"):
            use()
    assert not hasattr(measure, measure.fitted_names[0])


@pytest.mark.parametrize("name", FITTED)
def test_fitting_again_with_the_same_seed_gives_the_same_and_leaves_the_global_generator_alone(name, measures):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again = tiny_measure(name)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    for array_name, array in measures[name].arrays().items():
        np.testing.assert_array_equal(again.arrays()[array_name], array)
        assert len(array) == 3


@pytest.mark.parametrize(
    "measure",
    [CorrectnessNet(n_steps=50, batch_size=64, alpha=0.03), OpenGan(n_steps=200, batch_size=64, alpha=0.01)],
    ids=lambda measure: measure.name,
)
def test_what_is_learned_tells_right_answers_from_wrong_ones(measure):
    (train, train_labels), (test, test_labels) = tiny_logits(400), tiny_logits(400, seed=1)
    scores = measure.fit(train[1:2], train_labels).scores(0, test[1])
    assert auroc(scores, test[1].argmax(axis=1) == test_labels) > 0.6, "guessing gives 0.5"


@pytest.mark.parametrize(("name", "highest"), [("correctness-net", 0.1), ("opengan", 1.0)])
def test_an_exit_that_is_always_right_can_be_learned(name, highest):
    logits = 9 * np.eye(3, dtype=np.float32)[[[0, 1, 2, 0]]]
    scores = measure_class(name)(n_steps=30, alpha=0.1).fit(logits, np.array([0, 1, 2, 0])).scores(0, logits[0])
    assert (scores < highest).all()


def naive_auroc(scores, right):
    pairs = [(a, b) for a in scores[right] for b in scores[~right]]
    return sum((a < b) + (a == b) / 2 for a, b in pairs) / len(pairs)


def test_the_area_under_the_roc_curve_is_the_share_of_pairs_in_order(rng):
    scores, right = rng.integers(0, 6, 50), rng.random(50) < 0.7
    assert auroc(scores, right) == pytest.approx(naive_auroc(scores, right))
    assert auroc(np.arange(4), np.array([True, True, False, False])) == 1
    assert auroc(np.zeros(4), np.array([True, False, True, False])) == 0.5
    assert auroc(np.arange(4), np.full(4, True)) is None
    assert auroc(np.arange(0), np.full(0, True)) is None


def test_openmax_refuses_what_is_far_from_every_class(measures):
    logits, far = tiny_logits()[0][2], np.array([[200, 200, 0]], np.float32)
    assert measures["openmax"].refuses(2, far).tolist() == [True]
    assert measures["openmax"].refuses(2, logits).mean() < 0.2, "few of what it was fitted to"
    assert ENTROPY.refuses(2, far) is None, "it knows no such answer"


@pytest.mark.parametrize("n_steps", [1, 7, 20, 1000])
def test_looking_on_the_way_changes_no_number_of_steps(n_steps):
    parts = _in_parts(n_steps, 20)
    assert sum(parts) == n_steps and len(parts) == min(n_steps, 20)


def test_an_exit_that_is_never_right_has_no_closed_set():
    with pytest.raises(MeasureError, match="opengan: expected an exit that is right on some samples"):
        OpenGan().fit(np.eye(2, dtype=np.float32)[None], np.array([1, 0]))


def test_calibration_lowers_the_negative_log_likelihood():
    logits, labels = tiny_logits(500, n_exits=1)
    overconfident = 4 * logits
    measure = CalibratedEntropy().fit(overconfident, labels)
    (tau,) = measure.tau_
    others = [0.5, 1, 0.98 * tau, 1.02 * tau, 8, 16]
    best = negative_log_likelihood(overconfident[0], labels, tau)
    assert best < min(negative_log_likelihood(overconfident[0], labels, other) for other in others)


def test_calibration_leaves_calibrated_data_alone(rng):
    logits = rng.normal(scale=2, size=(4000, 5)).astype(np.float32)
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from the softmax: the Gumbel-max trick
    measure = CalibratedEntropy().fit([logits, 3 * logits], labels)
    np.testing.assert_allclose(measure.tau_, [1, 3], rtol=0.08)
    np.testing.assert_allclose(measure.scores(1, 3 * logits), ENTROPY.scores(0, logits), atol=0.2)


def test_an_exit_that_is_always_right_has_the_lowest_temperature():
    measure = CalibratedEntropy().fit(np.eye(3, dtype=np.float32)[None], np.arange(3))
    np.testing.assert_allclose(measure.tau_, LOWEST_TAU, rtol=1e-3)


def test_a_weibull_fit_finds_the_distribution_that_was_drawn_from(rng):
    shape, scale = fit_weibull(2.5 * rng.weibull(4, size=4000))
    np.testing.assert_allclose([shape, scale], [4, 2.5], rtol=0.05)
    smaller = fit_weibull(1e-6 * rng.weibull(4, size=4000))
    np.testing.assert_allclose(smaller, [4, 1e-6], rtol=0.05)


def weibull_log_likelihood(distances, shape, scale):
    return sum(math.log(shape / scale) + (shape - 1) * math.log(d / scale) - (d / scale) ** shape for d in distances)


def test_a_weibull_fit_is_the_likeliest(rng):
    distances = rng.gamma(9, size=20)
    shape, scale = fit_weibull(distances)
    best = weibull_log_likelihood(distances, shape, scale)
    for step in (0.99, 1.01):
        assert weibull_log_likelihood(distances, step * shape, scale) < best
        assert weibull_log_likelihood(distances, shape, step * scale) < best
    expected = [1 - math.exp(-((d / scale) ** shape)) for d in distances]
    np.testing.assert_allclose(weibull_cdf(distances, shape, scale), expected)


@pytest.mark.parametrize("distances", [[], [3.0], [2.0, 2.0], [0.0, 0.0, 1.0]])
def test_where_there_is_no_tail_no_distance_is_far(distances):
    assert weibull_cdf(np.array([0.0, 1e9]), *fit_weibull(np.array(distances))).tolist() == [0, 0]


@pytest.mark.parametrize("direction", [(1, 1, 1), (-1, -1, -1), (1, 0, -1)])
def test_openmax_shrinks_the_known_classes_of_a_far_sample(direction, measures):
    measure = measures["openmax"]
    near = measure.mean_[2, :1].astype(np.float32)
    far = near + 30 * np.array([direction], np.float32)
    (known_near, unknown_near), (known_far, unknown_far) = measure.revise(2, near), measure.revise(2, far)
    assert unknown_near < 0.05 * known_near.max()
    assert unknown_far > known_far.max(), "most of it is unknown"
    assert known_far[0, 0] < 0.01 * (far[0, 0] - far.min()), "the best class keeps next to nothing"
    assert (known_far <= far - far.min()).all() and (known_far >= 0).all()
    np.testing.assert_allclose(known_far.sum() + unknown_far, (far - far.min()).sum(), rtol=1e-6)
    assert measure.scores(2, far) > measure.scores(2, near) + 0.3


def test_openmax_takes_less_from_a_worse_class():
    arrays = {"mean_": np.zeros((1, 4, 4)), "shape_": np.ones((1, 4)), "scale_": np.full((1, 4), 1e-9)}
    measure = OpenMax.from_arrays({"alpha": 3, "eta": 20}, arrays)
    known, unknown = measure.revise(0, np.array([[4, 3, 2, 1]], np.float32))
    np.testing.assert_allclose(known, [[0, 2 / 3, 2 / 3, 0]], atol=1e-12)
    np.testing.assert_allclose(unknown, [3 + 4 / 3 + 1 / 3])


def test_openmax_learns_from_right_answers_only():
    logits, labels = tiny_logits(100)
    moved, wrong = logits.copy(), logits[0].argmax(axis=1) != labels
    moved[0, wrong] *= 50
    assert wrong.any()
    np.testing.assert_array_equal(OpenMax().fit(moved, labels).mean_, OpenMax().fit(logits, labels).mean_)


def test_a_class_that_is_never_right_is_never_shrunk():
    logits, labels = tiny_logits(100)
    measure = OpenMax().fit(logits[:, labels != 1], labels[labels != 1])
    known, unknown = measure.revise(0, np.array([[0, 80, 0]], np.float32))
    assert known[0, 1] == 80 and unknown == 0


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([], np.array([0]), r"expected logits \(N, n_classes\) of one shape for every exit, got \[\]"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], np.array([0, 1]), r"got \[\(2, 3\), \(2, 4\)\]"),
        (np.zeros((1, 2, 3)), np.array([0]), r"N integer labels, got 2 and int64 of shape \(1,\)"),
        (np.zeros((1, 2, 3)), np.array([0.0, 1.0]), "got 2 and float64"),
        (np.zeros((1, 0, 3)), np.array([], int), "N >= 1 samples"),
        (np.zeros((1, 2, 3)), np.array([0, 3]), "labels from 0 to 2, got 0 to 3"),
        (np.full((1, 2, 3), np.nan), np.array([0, 1]), "finite logits"),
    ],
)
def test_samples_that_nothing_can_be_fitted_to_are_refused(logits, labels, message):
    with pytest.raises(MeasureError, match=message):
        CalibratedEntropy().fit(logits, labels)


def test_a_measure_fitted_to_another_network_is_refused(measures):
    with pytest.raises(MeasureError, match="expected one fitted to 2 exits, got one fitted to 3"):
        ExitRecords.of(np.zeros((2, 5, 3), np.float32), np.zeros(5, np.int32), measures["openmax"])
    with pytest.raises(MeasureError, match="expected an exit from 0 to 2, got 3"):
        measures["openmax"].scores(3, np.zeros((5, 3), np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Energy(0), "temperature tau > 0, got 0"),
        (lambda: Energy(float("nan")), "got nan"),
        (lambda: OpenMax(alpha=0), "alpha >= 1 and eta >= 2, got 0 and 20"),
        (lambda: OpenGan(n_steps=0), "opengan: n_steps: expected a number > 0, got 0"),
        (lambda: CorrectnessNet(alpha=-1), "correctness-net: alpha: expected a number > 0, got -1"),
        (lambda: Patience.threshold(0), "at least 1 exit that agrees, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(MeasureError, match=message):
        make()


# Saving


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


# The register


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

"""What measures learn from validation samples, and what cannot be learned from."""

import math

import numpy as np
import pytest
from tiny import tiny_logits, tiny_measure

from branchynet.confidence import ENTROPY, MEASURES, as_measure, auroc
from branchynet.confidence.calibration import LOWEST_TAU, CalibratedEntropy, negative_log_likelihood
from branchynet.confidence.correctness import CorrectnessNet
from branchynet.confidence.direct import Energy, Patience
from branchynet.confidence.opengan import OpenGan, _in_parts
from branchynet.confidence.openmax import OpenMax
from branchynet.errors import MeasureError, NotFittedError
from branchynet.thresholds import ExitRecords

LOGITS, _ = tiny_logits(2)
FITTED = [name for name in MEASURES.names() if MEASURES.get(name).fitted_names]


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize(
    "use",
    [
        lambda measure: measure.scores(0, LOGITS[0]),
        lambda measure: measure.arrays(),
        lambda measure: measure.check(3),
        lambda measure: ExitRecords.of(LOGITS, np.zeros(2, np.int32), measure),
    ],
)
def test_a_measure_that_is_not_fitted_says_so(name, use):
    measure = as_measure(name)
    with pytest.raises(NotFittedError, match=rf"{name}: expected a fitted measure; call fit"):
        use(measure)
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
    scores = MEASURES.get(name)(n_steps=30, alpha=0.1).fit(logits, np.array([0, 1, 2, 0])).scores(0, logits[0])
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


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([], np.array([0]), r"expected logits \(N, n_classes\) of one shape for every exit, got \[\]"),
        (np.zeros((1, 2, 3), int), np.array([0, 1]), r"for every exit, got \['int64'\]"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], np.array([0, 1]), r"got \[\(2, 3\), \(2, 4\)\]"),
        (np.zeros((1, 2, 3)), np.array([0]), r"labels: expected 2 integers from 0 to 2, got int64 of shape \(1,\)"),
        (np.zeros((1, 2, 3)), np.array([0.0, 1.0]), "labels: expected 2 integers from 0 to 2, got float64"),
        (np.zeros((1, 0, 3)), np.array([], int), "N >= 1 samples"),
        (np.zeros((1, 2, 3)), np.array([0, 3]), "integers from 0 to 2, got 0 to 3"),
        (np.full((1, 2, 3), np.nan), np.array([0, 1]), "finite logits"),
    ],
)
def test_samples_that_nothing_can_be_fitted_to_are_refused(logits, labels, message):
    with pytest.raises(MeasureError, match=message):
        CalibratedEntropy().fit(logits, labels)


NO_ARRAYS = [
    *[("calibrated-entropy", "tau_", value) for value in (None, 2.0, "text", [1.0] * 3, np.ones(()), np.ones((3, 1)))],
    *[("calibrated-entropy", "tau_", np.array([1, 1, value])) for value in (math.inf, math.nan, 1j, "1", None, 0.0)],
    *[("openmax", "mean_", np.full(shape, 1.0)) for shape in ((3, 3), (3, 3, 2), (2, 3, 3), (3, 3, 3, 1))],
    *[("openmax", name, np.full((3, 3), value)) for name, value in (("shape_", math.inf), ("scale_", -math.inf))],
    *[("openmax", name, np.ones((3, 4))) for name in ("shape_", "scale_")],
    *[("opengan", name, np.ones((3, 4))) for name in ("mean_", "deviation_")],
    *[("correctness-net", "hidden_W_", np.ones(shape)) for shape in ((3, 16), (3, 3, 15))],
    ("correctness-net", "output_b_", np.ones((3, 1))),
]


@pytest.mark.parametrize(("name", "array_name", "value"), NO_ARRAYS)
def test_a_measure_whose_arrays_are_none_is_refused_wherever_it_is_used(name, array_name, value, measures):
    arrays, measure = {**measures[name].arrays(), array_name: value}, as_measure(name)
    vars(measure).update(arrays)
    for use in (
        lambda: measure.scores(0, LOGITS[0]),
        lambda: measure.check(3),
        lambda: ExitRecords.of(LOGITS, [0, 0], measure),
        lambda: type(measure).from_arrays({}, arrays),
    ):
        with pytest.raises(MeasureError, match=f"^{name}: [a-zA-Z_]+: expected (numbers|the shape)"):
            use()


@pytest.mark.parametrize("name", ["openmax", "opengan", "correctness-net"])
def test_logits_of_other_classes_are_refused(name, measures):
    for n_classes in (2, 4):
        with pytest.raises(MeasureError, match=f"{name}: expected logits of 3 classes, got {n_classes}"):
            measures[name].scores(0, np.zeros((5, n_classes), np.float32))


def test_logits_whose_deviation_overflows_cannot_be_fitted_to():
    with np.errstate(all="ignore"), pytest.raises(MeasureError, match="opengan: deviation_: expected numbers"):
        OpenGan(n_steps=1).fit(np.float32(1e30) * LOGITS, [0, 1])


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
        (lambda: OpenMax(eta=float("nan")), "alpha >= 1 and eta >= 2, got 3 and nan"),
        (lambda: OpenGan(n_steps=0), "opengan: n_steps: expected a whole number >= 1, got 0"),
        (lambda: CorrectnessNet(n_steps=1e1), "correctness-net: n_steps: expected a whole number >= 1, got 10.0"),
        (lambda: CorrectnessNet(alpha=-1), "correctness-net: alpha: expected a number > 0, got -1"),
        (lambda: Patience.threshold(0), "at least 1 exit that agrees, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(MeasureError, match=message):
        make()

"""Exit records: what settings of T give on them, counted all at once as in a loop over samples."""

import dataclasses

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, naive_exits, next_float, records_of

from branchynet.errors import ThresholdError
from branchynet.thresholds import ExitCosts, ExitRecords, PercentExits, Thresholds, choose_thresholds, parse_goal
from branchynet.thresholds.candidates import candidate_thresholds

# Two early exits and a last one; four samples.
SCORES = np.array([[0.1, 0.5, 0.9, 2.0], [0.0, 0.2, 0.7, 1.0], [9.0, 9.0, 9.0, 9.0]], np.float32)
PREDICTIONS = np.array([[0, 1, 2, 2], [0, 1, 1, 2], [0, 1, 1, 1]], np.int32)
LABELS = np.array([0, 1, 1, 1], np.int32)
RECORDS = ExitRecords(SCORES, PREDICTIONS, LABELS)


def check_against_a_naive_loop(records, settings):
    """Every sample is counted at the exit that a loop over the samples gives."""
    outcomes, last_right = records.evaluate(settings), records.right[-1]
    assert len(outcomes.n_right) == len(settings) > 0
    for index, setting in enumerate(settings):
        exits = naive_exits(records.scores, setting)
        right = np.array([records.right[exit_index, row] for row, exit_index in enumerate(exits)])
        assert records.exits_at(setting).tolist() == exits
        assert records.right_at(setting).tolist() == right.tolist()
        assert outcomes.n_leaving[index].tolist() == np.bincount(exits, minlength=records.n_exits).tolist()
        assert outcomes.n_right[index] == right.sum()
        assert outcomes.n_spoilt[index] == (last_right & ~right).sum()


@pytest.mark.parametrize("n_exits", [1, 2, 3, 5])
def test_settings_are_counted_as_in_a_loop_over_samples(rng, n_exits, monkeypatch):
    monkeypatch.setattr("branchynet.thresholds.records._N_COMPARISONS", 500)  # ten settings at a time
    records = make_records(rng, 50, n_exits)
    check_against_a_naive_loop(records, [*candidate_thresholds(records)[::9], *rng.random((13, n_exits - 1))])


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_to_t_and_next_to_it_are_decided_alike_everywhere(seed):
    rng = np.random.default_rng(seed)
    settings = np.concatenate([[[0.1, 0.1], [1 / 3, 0.7]], rng.random((8, 2)), rng.exponential(size=(4, 2))])
    near = settings.astype(np.float32)
    near = np.concatenate([near, next_float(near), next_float(near, -np.inf), next_float(next_float(near))])
    scores = rng.permuted(np.concatenate([near, near]), axis=0).T
    records = records_of([*scores, scores[0]], rng.random((3, scores.shape[1])) < 0.5)
    check_against_a_naive_loop(records, [*settings, *near])


def test_accuracies_shares_and_costs_by_hand():
    outcomes = RECORDS.evaluate([(0.6, 0.8), (5, 5), (0, 0)])
    assert outcomes.exit_shares.tolist() == [[0.5, 0.25, 0.25], [1, 0, 0], [0, 0, 1]]
    assert outcomes.accuracies.tolist() == [1, 0.5, 1]
    assert outcomes.n_spoilt.tolist() == [0, 2, 0]
    costs = ExitCosts([1, 2, 4])
    assert outcomes.expected_costs(costs).tolist() == [2, 1, 4]
    assert outcomes.rows(costs)[0] == {"accuracy_pct": 100, "cost": 2, "exit_pct": [50, 25, 25], "early_pct": 75}
    assert RECORDS.exit_accuracies().tolist() == [0.5, 0.75, 1.0]
    assert (RECORDS.n_exits, RECORDS.n_classes) == (3, 3)


def test_records_of_one_exit_are_made_of_its_logits():
    records = ExitRecords.of(np.eye(3, dtype=np.float32)[None], np.array([0, 1, 1]))
    assert records.n_exits == 1 and records.right.tolist() == [[True, True, False]]


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([3, 0])])
def test_some_of_the_samples_keep_all_that_is_known_of_them(rows):
    taken = ExitRecords(SCORES, PREDICTIONS, LABELS, lowest=-1.0).take(rows)
    assert taken.scores.tolist() == SCORES[:, rows].tolist()
    assert taken.right.tolist() == RECORDS.right[:, rows].tolist() and taken.lowest == -1.0


@pytest.mark.parametrize(
    "value",
    [
        RECORDS,
        RECORDS.evaluate([(0.6, 0.8)]),
        Thresholds((0.6, 0.8)),
        PercentExits((50, 50)),
        ExitCosts([1, 2, 4]),
        parse_goal("knee"),
        choose_thresholds(RECORDS, ExitCosts([1, 2, 4]), "knee"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_known_stays_what_it_was(value):
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


NO_RECORDS = [
    (SCORES.astype(np.float64), PREDICTIONS, LABELS),
    (SCORES.tolist(), PREDICTIONS, LABELS),
    (SCORES[0], PREDICTIONS[0], LABELS),
    (SCORES[:0], PREDICTIONS[:0], LABELS),
    (SCORES, PREDICTIONS[:2], LABELS),
    (SCORES, PREDICTIONS.astype(np.float32), LABELS),
    (SCORES, PREDICTIONS, LABELS[:3]),
    (SCORES, PREDICTIONS, LABELS[None]),
    (SCORES, PREDICTIONS, LABELS.astype(np.float32)),
    (SCORES, PREDICTIONS, LABELS.tolist()),
]


@pytest.mark.parametrize("arrays", NO_RECORDS)
def test_arrays_of_other_shapes_and_types_make_no_records(arrays):
    with pytest.raises(ThresholdError, match=r"expected scores \(n_exits, N\) float32, .*, got "):
        ExitRecords(*arrays)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([0.1, 0.2], r"expected settings of T \(K, 2\), got float64 of shape \(2,\)"),
        ([[0.1, 0.2, 0.3]], r"got float64 of shape \(1, 3\)"),
        ([["0.1", "0.2"]], r"got <U3 of shape \(1, 2\)"),
        ([[True, False]], "got bool"),
        ([[0.1, 0.2], [0.1, float("nan")]], "expected thresholds >= 0, got nan"),
        ([[0.1, -0.5]], "expected thresholds >= 0, got -0.5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ThresholdError, match=message):
        RECORDS.evaluate(settings)


@pytest.mark.parametrize(
    "use", [lambda r: r.evaluate([(0.6, 0.8)]), lambda r: r.exits_at(0.6), lambda r: r.right_at(0)]
)
def test_scores_that_are_no_numbers_are_an_error_at_an_early_exit_only(use):
    scores = SCORES.copy()
    scores[2] = np.nan
    use(ExitRecords(scores, PREDICTIONS, LABELS))
    scores[1, 3] = np.nan
    with pytest.raises(ThresholdError, match="expected scores that are numbers at the early exits, got NaN"):
        use(ExitRecords(scores, PREDICTIONS, LABELS))


def test_no_samples_have_exits_but_no_outcome():
    nobody = RECORDS.take(slice(0))
    assert nobody.exits_at(0.5).shape == (0,)
    with pytest.raises(ThresholdError, match="at least one sample, got none"):
        nobody.evaluate([(0.5, 0.5)])


@pytest.mark.parametrize("values", [[1.0, float("nan")], [-1.0, 1.0], [1.0, float("inf")], [[1.0, 2.0]]])
def test_costs_that_make_no_sense_are_refused(values):
    with pytest.raises(ThresholdError, match="costs: expected a number >= 0 for each exit, got "):
        ExitCosts(values)
    assert costs_of(RECORDS).values.dtype == np.float64

"""What holds for whatever is drawn: batches and thresholds on every engine, round trips of goals and records."""

import functools
import re

import numpy as np
import pytest

pytest.importorskip("hypothesis")  # before anything that imports it: GPU tests run where it is not installed, too

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import tiny_batch, tiny_net

from branchynet import records, run
from branchynet.inference import compile_net, record_exits
from branchynet.serialization import load_exit_records, save_exit_records
from branchynet.thresholds import ExitRecords, parse_goal
from branchynet.thresholds.goals import GOALS

N_SAMPLES = 40
QUIETLY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@functools.cache
def recorded():
    """The tiny net, samples, and what its exits say of them."""
    x, labels = tiny_batch(N_SAMPLES)
    return tiny_net(), x, record_exits(tiny_net(), x, labels)


@functools.cache
def compiled(engine):
    """The tiny net, compiled once for an engine."""
    return compile_net(recorded()[0], engine=engine)


# T of any size, among them the scores of samples: a sample does not leave whose score is T itself.
THRESHOLD = st.one_of(
    st.floats(0, 2, width=32),
    st.sampled_from([0.0, np.inf]),
    st.integers(0, 2 * N_SAMPLES - 1).map(lambda k: float(max(0, recorded()[2].scores[:2].flat[k]))),
)


@given(start=st.integers(0, N_SAMPLES - 1), n=st.integers(0, N_SAMPLES), thresholds=st.tuples(THRESHOLD, THRESHOLD))
@QUIETLY
def test_any_batch_at_any_thresholds_is_answered_as_on_the_reference_path(engine_name, start, n, thresholds):
    net, x, of_all = recorded()
    batch, scores = x[start : start + n], of_all.scores[:2, start : start + n]
    answers, expected = compiled(engine_name).run(batch, thresholds), run(net, batch, thresholds)
    counted = of_all.exits_at(thresholds)[start : start + n]
    # Scores of another engine, or of a batch of another size, differ by rounding: at T itself either may be right.
    is_clear = (np.abs(scores - np.array(thresholds, np.float32)[:, None]) > 1e-5).all(axis=0)
    np.testing.assert_array_equal(answers.exits[is_clear], expected.exits[is_clear])
    np.testing.assert_array_equal(answers.labels[is_clear], expected.labels[is_clear])
    np.testing.assert_array_equal(expected.exits[is_clear], counted[is_clear], "as it is counted")


def forms():
    """{form of a goal: names of its numbers}"""
    return {form: re.findall(r"\{(\w+)", form) for form in GOALS.names()}


@pytest.mark.parametrize("form", forms())
@given(data=st.data())
@QUIETLY
def test_a_goal_has_the_numbers_that_its_text_says(form, data):
    numbers = {name: data.draw(st.floats(0, 1)) for name in forms()[form]}
    text = re.sub(r"\{(\w+)(?:\.\.\.)?\}", lambda match: repr(numbers[match[1]]), form)
    goal = parse_goal(f" {text} ".replace("<=", " <= "))
    assert goal.text == text and parse_goal(goal.text) == goal
    found = {name: value[0] if isinstance(value, tuple) else value for name, value in goal.numbers.items()}
    assert found == numbers


VALUE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    VALUE, lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4), max_leaves=12
)


@given(value=st.dictionaries(st.text(), JSON, max_size=4))
@QUIETLY
def test_a_record_is_read_as_it_was_written(tmp_path, value):
    records.write_json(tmp_path / "record.json", value)
    assert records.read_json(tmp_path / "record.json") == value


@given(
    n_exits=st.integers(1, 4), n=st.integers(1, 30), n_classes=st.sampled_from([2, 10, 300]), seed=st.integers(0, 99)
)
@QUIETLY
def test_exit_records_are_read_as_they_were_written(tmp_path_factory, n_exits, n, n_classes, seed):
    rng = np.random.default_rng(seed)
    predictions = rng.integers(n_classes, size=(n_exits, n)).astype(np.int32)
    scores = rng.normal(size=(n_exits, n)).astype(np.float32)
    stem = tmp_path_factory.getbasetemp() / "exits"
    saved = ExitRecords(scores, predictions, rng.integers(n_classes, size=n).astype(np.int32))
    save_exit_records({"margin": saved}, stem)
    (found,) = load_exit_records(stem).values()
    for name in ("scores", "predictions", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(saved, name))

"""Early exits by any measure: both inference paths and recorded evaluation give the same answers."""

import math

import numpy as np
import pytest
from synthetic_records import naive_exits
from tiny import N_CLASSES, mixed_thresholds, tiny_batch

from branchynet import PercentExits, run
from branchynet.bench import paths as benchmark
from branchynet.confidence import MEASURES, register_measure
from branchynet.confidence.measure import Measure
from branchynet.confidence.openmax import OpenMax
from branchynet.errors import MeasureError, NotFittedError, ThresholdError
from branchynet.inference import compile_net, record_exits, record_logits
from branchynet.inference.engines import engine_classes
from branchynet.machine.devices import to_host
from branchynet.thresholds import ExitRecords

NAMES = MEASURES.names()


@pytest.fixture(params=["arrays", "onnxruntime"])
def engine(request, device):
    """Settings of `compile_net` for engines that take any measure; what cannot compute on the device is skipped."""
    if problem := engine_classes()[request.param].problem(device):
        pytest.skip(problem)
    return {"engine": request.param, "device": device.name}


@pytest.mark.parametrize("name", NAMES)
def test_all_paths_give_the_same_answers(name, measures, net, engine):
    measure, (x, labels) = measures[name], tiny_batch(30)
    records = record_exits(net, x, labels, measure=measure)
    thresholds = [0.75, 0.75] if name == "patience" else mixed_thresholds(net, x, measure)
    exits = naive_exits(records.scores, thresholds)
    assert len(set(exits)) > 1
    expected = run(net, x, thresholds, measure=measure)
    assert to_host(expected.exits).tolist() == exits
    np.testing.assert_allclose(to_host(expected.scores), records.scores[exits, np.arange(30)], rtol=1e-4, atol=1e-5)
    assert to_host(expected.labels).tolist() == records.predictions[exits, np.arange(30)].tolist()

    compiled = compile_net(net, **engine, measure=measure)
    for n_samples in (1, 7):
        for start in range(0, 14, n_samples):
            rows = slice(start, start + n_samples)
            answers = compiled.run(x[rows], thresholds)
            assert to_host(answers.exits).tolist() == exits[rows]
            np.testing.assert_array_equal(to_host(answers.labels), to_host(expected.labels)[rows])
            np.testing.assert_allclose(to_host(answers.scores), to_host(expected.scores)[rows], rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(to_host(answers.logits), to_host(expected.logits)[rows], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_of_the_range_of_thresholds(name, measures, net, engine):
    compiled = compile_net(net, **engine, measure=measures[name])
    for n_samples in (0, 1, 7):
        x, _ = tiny_batch(n_samples)
        for threshold, exit_index in ((measures[name].lowest, 2), (math.inf, 0)):
            for answers in (compiled.run(x, threshold), run(net, x, threshold, measure=measures[name])):
                assert to_host(answers.exits).tolist() == [exit_index] * n_samples


def test_many_measures_are_evaluated_from_one_pass(measures, net):
    x, labels = tiny_batch(20)
    logits = record_logits(net, x, batch_size=7)
    assert logits.shape == (3, 20, N_CLASSES) and logits.dtype == np.float32 and isinstance(logits, np.ndarray)
    for measure in measures.values():
        ours, theirs = ExitRecords.of(logits, labels, measure), record_exits(net, x, labels, 6, measure)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(ours.predictions, theirs.predictions)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        assert ours.lowest == measure.lowest


def test_recording_no_samples(net):
    x, labels = tiny_batch(0)
    assert record_logits(net, x).shape == (3, 0, N_CLASSES)
    assert record_exits(net, x, labels).scores.shape == (3, 0)


def test_a_measure_may_be_asked_for_by_name_and_entropy_is_the_default(net, engine):
    x, _ = tiny_batch()
    entropies, margins = (to_host(run(net, x, 0.9, measure=name).scores) for name in ("entropy", "margin"))
    for answers, expected in (
        (run(net, x, 0.9), entropies),
        (compile_net(net, **engine).run(x, 0.9), entropies),
        (compile_net(net, **engine, measure="margin").run(x, 0.9), margins),
    ):
        np.testing.assert_allclose(to_host(answers.scores), expected, atol=1e-5)


def test_a_function_of_ones_own_decides_in_every_path(net, engine):
    @register_measure("last logit")
    def last_logit(logits):
        return logits[:, -1]

    x, labels = tiny_batch(12)
    records = record_exits(net, x, labels, measure="last logit")
    thresholds = mixed_thresholds(net, x, "last logit")
    exits = records.exits_at(thresholds).tolist()
    assert to_host(run(net, x, thresholds, measure="last logit").exits).tolist() == exits
    compiled = compile_net(net, **engine, measure="last logit")
    assert to_host(compiled.run(x, thresholds).exits).tolist() == exits
    assert [int(compiled.run(x[i : i + 1], thresholds).exits[0]) for i in range(12)] == exits


def test_percent_exits_leave_by_share_of_the_batch_by_any_measure(net):
    exits = run(net, tiny_batch(40)[0], PercentExits((50, 50)), measure="energy").exits
    assert np.bincount(to_host(exits)).tolist() == [20, 10, 10]


def test_thresholds_of_energies_may_be_negative_those_of_entropies_not(net):
    x, labels = tiny_batch()
    assert len(record_exits(net, x, labels, measure="energy").exits_at(-1.5)) == len(x)
    with pytest.raises(ThresholdError, match=r"a score >= 0 \(an entropy: in nats\), got -1.5"):
        record_exits(net, x, labels).exits_at(-1.5)
    with pytest.raises(ThresholdError, match="got nan"):
        run(net, x, math.nan, measure="energy")


def test_measures_that_cannot_be_used_are_refused_before_anything_is_computed(measures, net, engine):
    x, labels = tiny_batch()
    for use in (
        lambda: run(net, x, 0.5, measure=OpenMax()),
        lambda: record_exits(net, x, labels, measure=OpenMax()),
        lambda: compile_net(net, **engine, measure=OpenMax()),
    ):
        with pytest.raises(NotFittedError, match="openmax: expected a fitted measure"):
            use()
    for_two = OpenMax().fit(np.eye(3, dtype=np.float32)[None].repeat(2, axis=0), np.arange(3))
    with pytest.raises(MeasureError, match="fitted to 3 exits, got one fitted to 2"):
        compile_net(net, **engine, measure=for_two)
    with pytest.raises(MeasureError, match="got 'entropi'"):
        run(net, x, 0.5, measure="entropi")


class LostAtTheSecondExit(Measure):
    """A measure of one's own that is given as it is, not registered."""

    name = "lost"

    def scores(self, exit_index, logits):
        """All alike at the first exit."""
        return logits[:, 0] * 0 + (np.float32(math.nan) if exit_index == 1 else 1)


@pytest.mark.parametrize("n_samples", [1, 5])
def test_a_score_that_is_no_number_is_an_error_that_names_the_exit(net, engine, n_samples):
    (x, _), measure = tiny_batch(n_samples), LostAtTheSecondExit()
    compiled = compile_net(net, **engine, measure=measure)
    assert set(to_host(compiled.run(x, [2.0, 0.0]).exits)) == {0}, "nobody comes there"
    for answer in (lambda: run(net, x, 0.0, measure=measure), lambda: compiled.run(x, 0.0)):
        with pytest.raises(MeasureError, match="lost: expected scores that are numbers, got NaN at exit 2"):
            answer()


@pytest.mark.parametrize("name", ["energy", "patience", "openmax"])
def test_the_benchmark_times_any_measure(name, measures, net):
    x, labels = tiny_batch(12)
    contenders = benchmark.Contenders.of(net, "arrays", measures[name])
    records = record_exits(net, x, labels, measure=measures[name])
    thresholds = [0.75, 0.75] if name == "patience" else mixed_thresholds(net, x, measures[name])
    measurement = benchmark.measure(contenders, x, [thresholds], budget_s=0.01)
    expected = records.exits_at(thresholds)
    assert measurement.exits[0].tolist() == expected[: len(measurement.exits[0])].tolist()
    costs = benchmark.path_costs(contenders, x, budget_s=0.01)
    assert costs.end_to_end_ms.shape[0] == 3

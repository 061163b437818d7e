"""Measures of one's own, added by one function or one class."""

import math

import chainer.functions as F
import numpy as np
import pytest
from tiny import tiny_batch, tiny_logits, tiny_net

from branchynet import run
from branchynet.confidence import MEASURES, Entropy, Measure, as_measure, register_measure
from branchynet.errors import MeasureError
from branchynet.inference import compile_net
from branchynet.machine.devices import to_host
from branchynet.serialization import load_measure, save_measure
from branchynet.thresholds import ExitRecords


def test_one_function_adds_a_measure(tmp_path, device):
    register_measure("largest logit")(lambda logits: -logits.max(axis=1))
    logits, labels = tiny_logits(10)
    records = ExitRecords.of([device.send(z) for z in logits], labels, "largest logit")
    np.testing.assert_array_equal(records.scores, -logits.max(axis=2))
    assert records.exits_at(-math.inf).tolist() == [2] * 10
    assert (records.exits_at(-1e-9) == 0).any(), "thresholds may be negative"
    save_measure(as_measure("largest logit"), tmp_path / "m")
    assert load_measure(tmp_path / "m").scores_after(0, np.array([[1, 3]], np.float32), ()) == [-3]


def test_one_class_adds_a_measure():
    @register_measure("constant")
    class Constant(Measure):
        """It says the same of every sample."""

        setting_names = ("value",)

        def __init__(self, value=2):
            super().__init__()
            self.value = value

        def scores(self, exit_index, logits):
            return np.full(len(logits), self.value)  # integers become float32

    assert Constant(5).describe() == {"name": "constant", "settings": {"value": 5}}
    assert (Constant.__name__, Constant.__doc__) == ("Constant", "It says the same of every sample.")
    (scores,) = as_measure("constant").scores_of_exits([np.zeros((1, 3), np.float32)])
    assert scores == [2] and scores.dtype == np.float32 and isinstance(MEASURES.get("constant")(), Constant)


def test_a_measure_of_ones_own_does_not_inherit_the_score_of_one_sample():
    def half_of(kind):
        return type("Half", (kind,), {"scores": lambda self, index, logits: kind.scores(self, index, logits) / 2})

    measure = register_measure("quarter entropy")(half_of(register_measure("half entropy")(half_of(Entropy))))()
    (x, _), net = tiny_batch(1), tiny_net()
    expected = run(net, x, 0.0).scores / 4
    np.testing.assert_allclose(run(net, x, 0.0, measure=measure).scores, expected, rtol=1e-5)
    np.testing.assert_allclose(compile_net(net, measure=measure).run(x, 0.0).scores, expected, rtol=1e-5)


# What measures give back for logits (4, 3), and what they are told.
NO_SCORES = {
    "nan": (lambda logits: logits[:, 0] * np.float32("nan"), "expected scores that are numbers, got NaN"),
    "complex": (lambda logits: logits[:, 0] + 1j, r"expected real scores of shape \(4,\), got complex"),
    "one per class": (lambda logits: logits, r"got float32 of shape \(4, 3\)"),
    "one in all": (lambda logits: logits.max(), r"got "),
    "a column": (lambda logits: logits[:, :1], r"got float32 of shape \(4, 1\)"),
    "too few": (lambda logits: logits[1:, 0], r"got float32 of shape \(3,\)"),
    "a list": (lambda logits: logits[:, 0].tolist(), r"got \["),
    "a variable": (lambda logits: F.max(logits, axis=1), r"got variable"),
    "nothing": (lambda logits: None, "got None"),
    "texts": (lambda logits: np.full(4, "sure"), "got <U4"),
    "masked": (lambda logits: np.ma.array(logits[:, 0], mask=True), "got masked_array"),
    "one of one": (lambda logits: logits[:1, 0], r"got float32 of shape \(1,\)"),
}


@pytest.mark.parametrize("name", NO_SCORES)
@pytest.mark.parametrize("given_as", ["function", "class", "instance"])
def test_a_measure_that_returns_no_scores_is_refused_by_its_name(name, given_as):
    function, message = NO_SCORES[name]
    own = type(name, (Measure,), {"scores": lambda self, _, z: function(z)})
    register_measure(name)(function if given_as == "function" else own)
    with pytest.raises(MeasureError, match=f"^{name}: .*{message}"):
        ExitRecords.of(np.zeros((2, 4, 3), np.float32), [0] * 4, own() if given_as == "instance" else name)


def sort_in_place(logits):
    logits.sort(axis=1)
    return -logits[:, -1]


class SortInPlace(Measure):
    """It spoils the logits of all exits that it is shown."""

    lowest = -math.inf
    needs_earlier_exits = True

    def scores_after(self, exit_index, logits, earlier):
        return sum(sort_in_place(exit_logits) for exit_logits in (*earlier, logits))


@pytest.mark.parametrize("target", [sort_in_place, SortInPlace, SortInPlace()])
def test_a_measure_that_writes_into_its_logits_does_not_change_what_the_network_answers(target, device):
    measure = target if isinstance(target, Measure) else register_measure("sorts")(target) and "sorts"
    logits, labels = tiny_logits(20)
    ours = ExitRecords.of([device.send(z.copy()) for z in logits], labels, measure)
    np.testing.assert_array_equal(ours.predictions, logits.argmax(axis=2))
    (x, _), net = tiny_batch(9), tiny_net(device=device)
    expected = to_host(run(net, x, 0.0).labels)
    compiled = compile_net(net, device=device.name, measure=measure)
    answers = [run(net, x, -math.inf, measure=measure), compiled.run(x, -math.inf)]
    assert [to_host(answer.labels).tolist() for answer in answers] == [expected.tolist()] * 2
    assert [int(compiled.run(x[i : i + 1], -math.inf).labels[0]) for i in range(9)] == expected.tolist()


def test_a_measure_that_refuses_samples_gets_copies_too():
    class Refusing(SortInPlace):
        def refuses(self, exit_index, logits):
            return sort_in_place(logits) > 0

    logits = np.array([[3, 1, 2]], np.float32)
    as_measure(Refusing()).refuses(0, logits)
    assert logits.tolist() == [[3, 1, 2]]


def test_a_measure_without_default_settings_has_to_be_made_first():
    @register_measure("sharp")
    class Sharp(SortInPlace):
        def __init__(self, power):
            self.power = power

    with pytest.raises(MeasureError, match="sharp: expected default settings, got none; make one and give it"):
        as_measure("sharp")
    assert as_measure(Sharp(2)).name == "sharp"


@pytest.mark.parametrize("target", [3, int])
def test_only_functions_and_measures_can_be_registered(target):
    with pytest.raises(MeasureError, match="expected a function or a subclass of Measure"):
        register_measure("x")(target)


@pytest.mark.parametrize("measure", ["entropi", 3, None, ["entropy"]])
def test_a_measure_that_does_not_exist_is_refused(measure):
    with pytest.raises(MeasureError, match="measure: expected one of entropy, .*; got "):
        as_measure(measure)

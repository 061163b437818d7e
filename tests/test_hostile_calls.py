"""Hostile calls at every public door: an error of our own that says what was expected, never an answer or a traceback.

A door is a function of one value; each gets every value that is none for it. At the end stand values of other kinds that
are taken for what they mean.
"""

# ruff: noqa: E501  (tables)

import decimal
import itertools
import math
import warnings

import chainer
import chainer.links as L
import numpy as np
import pytest
from tiny import N_CLASSES, SHAPE, as_float, tiny_batch, tiny_list, tiny_net, tiny_splits

from branchynet import Branch, BranchyNet, PercentExits, run
from branchynet.confidence import MEASURES
from branchynet.errors import UserError
from branchynet.inference import compile_net, compile_plain, record_exits, record_logits
from branchynet.thresholds import ExitCosts, ExitRecords, Thresholds, choose_thresholds, parse_goal
from branchynet.training import TrainingSettings, train_joint, train_plain

NAN, INF = math.nan, math.inf
NET = tiny_net()
NET.initialise(SHAPE)
X, LABELS = tiny_batch(9)
RECORDS = record_exits(NET, X, LABELS)
COSTS = ExitCosts([1.0, 2.0, 3.0])
COMPILED = {name: compile_net(NET, engine=name) for name in ("native", "arrays", "onnxruntime")}


class Unspeakable:
    """Its own text is an error."""

    def __repr__(self):
        raise RuntimeError("no text")


def with_one(value):
    x = X.copy()
    x[3, 0, 2, 2] = value
    return x


NOTHING = {"None": None, "text": "12", "bytes": b"12", "dict": {1: 2}, "set": {1, 2}, "object": object()}
NOTHING |= {"unspeakable": Unspeakable(), "function": len, "class": int, "complex": 1j, "generator": (i for i in "12")}
NO_NUMBERS = {**NOTHING, "nan": NAN, "huge": 10**400, "list of lists": [[1], [2]], "decimal": decimal.Decimal("0.1")}
NO_NUMBERS |= {"nan array": np.array(NAN), "masked": np.ma.array(1.0, mask=True), "texts": ["1", "2"]}
NO_WHOLE_NUMBERS = {
    **{k: v for k, v in NO_NUMBERS.items() if k != "huge"},
    "0": 0,
    "-1": -1,
    "2.5": 2.5,
    "infinity": INF,
    "True": True,
    "np.True_": np.True_,
}
NO_WHOLE_NUMBERS |= {"2.0": 2.0, "np.float32(2)": np.float32(2), "[3]": [3]}
NO_WHOLE_NUMBERS_FROM_0 = {k: v for k, v in NO_WHOLE_NUMBERS.items() if k != "0"}
NO_BATCHES = {
    **NO_NUMBERS, "0-d": np.float32(3), "1-d": X[0, 0, 0], "float64": X.astype(float), "float16": X.astype(np.float16),
    "uint8": X.astype(np.uint8), "bool": X > 0, "objects": X.astype(object), "big-endian": X.astype(">f4"),
    "nested lists": X.tolist(), "Variable": chainer.Variable(X), "masked batch": np.ma.array(X, mask=X > 0),
    "flat": X.reshape(9, -1), "other height": X[:, :, :5], "other width": X[..., :5], "more channels": X.repeat(2, 1),
    "no channel axis": X[:, 0], "one axis more": X[..., None], "one NaN": with_one(NAN), "one infinity": with_one(INF),
    "minus infinity": with_one(-INF), "too large": with_one(3e38), "all NaN": X * np.float32(NAN),
    "other empty": np.zeros((0, 7, 7), np.float32), "one NaN alone": with_one(NAN)[3:4], "too large alone": with_one(3e38)[3:4],
}  # fmt: skip
NO_LABELS = {
    **NO_NUMBERS, "one": LABELS[:1], "too few": LABELS[:8], "too many": np.r_[LABELS, 0], "one-hot": np.eye(3, dtype=int)[LABELS],
    "column": LABELS[:, None], "float": LABELS.astype(float), "all NaN": np.full(9, NAN), "-1": np.full(9, -1),
    "3": np.full(9, N_CLASSES), "wrapped": LABELS.astype(np.int64) + 2**32, "uint64": np.full(9, 2**64 - 1, np.uint64),
    "bool": LABELS > 0, "objects": LABELS.astype(object), "names": ["a"] * 9, "masked labels": np.ma.array(LABELS, mask=True),
    "complex array": LABELS.astype(complex), "a number": 1, "with None": [*LABELS[:8].tolist(), None],
}  # fmt: skip
NO_THRESHOLDS = {
    **NO_NUMBERS, "-1": -1.0, "-0.1 in a list": [0.5, -0.1], "NaN in a list": [NAN, 0.5], "too few": [0.1], "too many": [0.1] * 3,
    "none": [], "2-D": np.full((1, 2), 0.1), "text array": np.array(["1", "2"]), "complex array": np.array([1j, 1]),
    "bool": True, "bools": [True, False], "range": range(2), "masked thresholds": np.ma.array([0.1, 0.2], mask=[0, 1]),
    "huge in a list": [10**400, 1], "None in a list": [None, 1], "Variable": chainer.Variable(np.zeros(2, np.float32)),
}  # fmt: skip
NO_SHAPES = {
    **NO_NUMBERS, "a number": 3, "()": (), "(0, 6, 6)": (0, 6, 6), "negative": (1, -6, 6), "float": (1, 6.0, 6), "NaN": (NAN, 6, 6),
    "(6, 6)": (6, 6), "one axis more": (1, 6, 6, 1), "other": (1, 5, 5), "huge": (10**9,) * 3, "large": (1, 10**6, 10**6),
    "bool": (True, 6, 6), "array": np.array([1, 6, 6]), "text in it": (1, "6", 6), "None in it": (1, None, 6), "2**63": (2**63, 1, 1),
}  # fmt: skip
del NO_SHAPES["None"]  # the shape that the net knows
NO_NETS = {
    **NO_NUMBERS,
    "a list": tiny_list(),
    "plain net": NET.plain(),
    "compiled": COMPILED["arrays"],
    "link": L.Linear(3, 3),
}
NO_NAMES = {**NO_NUMBERS, "no such": "no such", "list": ["entropy"], "number": 3, "empty": ""}
NO_COSTS = {
    **NO_NUMBERS,
    "negative": [-1, 1, 2],
    "NaN in it": [NAN, 1, 2],
    "infinity": [INF, 1, 1],
    "2-D": [[1, 2, 3]],
    "a number": 3,
}
NO_COSTS |= {"too few": [1, 2], "too many": [1] * 4, "masked costs": np.ma.array([1.0, 2, 3], mask=[0, 1, 0])}
NO_GRIDS = {
    **NO_NUMBERS,
    "[]": [],
    "NaN in it": [[NAN, 0.1]],
    "-1": [[-1, 0.1]],
    "too few": [[0.1]],
    "1-D": [0.1, 0.2],
    "a number": 3,
}
NO_GRIDS |= {
    "ragged": [[1], [1, 2]],
    "masked grid": np.ma.array([[0.1, 0.2]], mask=[[1, 0]]),
    "3 columns": np.zeros((3, 3)),
}
del NO_GRIDS["None"]
GOALS = ("", "knees", "latency<=", "latency<=nanms", "latency<=-1ms", "latency<=1e999ms", "latency<=0ms", "exits=60", "exits=a,b",
         "risk<=0.5%@200%", "risk<=%@%", "accuracy>=101%", "accuracy>=last-nan%", "quantile=2", "quantile=-1", "x" * 10**5,
         "budget<=1e-300ms", "latency<=" + "9" * 500 + "ms", "multiply-adds<=3", "knee;knee", "latency<=1s", "expected-risk<=-1%")  # fmt: skip
NO_GOALS = {**NO_NUMBERS, **{goal[:40] or "empty": goal for goal in GOALS}}
NO_LISTS = {
    **NO_NUMBERS,
    "[]": [],
    "[None]": [None],
    "no Branch at the end": tiny_list()[:2],
    "nested": [tiny_list()],
    "class": [Branch],
}
NO_WEIGHTS = {**NO_NUMBERS, "-1": -1, "infinity": INF, "True": True, "array": np.ones(3)}
NO_SETTINGS = {**NO_NUMBERS, "-1": -1, "infinity": INF, "np.nan": np.float32(NAN)}


NO_FUNCTIONS = {k: v for k, v in NO_NUMBERS.items() if k not in ("function", "class", "None")} | {
    "of another kind": len
}
NO_FOLDERS = {k: v for k, v in NO_NUMBERS.items() if k != "text"} | {
    "empty": "",
    "null": "a\0b",
    "long": "/tmp/" + "x" * 300,
}


def train(train_step, **changes):
    options = {"net": tiny_net(), "splits": tiny_splits(20, 8, 8), "transform": as_float, "out": "/nowhere/at/all"}
    options |= {"settings": TrainingSettings(epochs=1, batch_size=8), "show_progress": False, **changes}
    return train_step(**options)


# {name of a door: (function of one value, values that are none)}
DOORS = {
    "run: x": (lambda value: run(NET, value, 0.5), NO_BATCHES),
    "record_exits: x": (lambda value: record_exits(NET, value, LABELS), NO_BATCHES),
    "record_logits: x": (lambda value: record_logits(NET, value), NO_BATCHES),
    **{f"{name}: x": (lambda value, net=net: net.run(value, 0.5), NO_BATCHES) for name, net in COMPILED.items()},
    "compiled.record_exits: x": (lambda value: COMPILED["native"].record_exits(value, LABELS), NO_BATCHES),
    "record_exits: labels": (lambda value: record_exits(NET, X, value), NO_LABELS),
    "compiled.record_exits: labels": (lambda value: COMPILED["native"].record_exits(X, value), NO_LABELS),
    "ExitRecords.of: labels": (lambda value: ExitRecords.of(record_logits(NET, X), value), NO_LABELS),
    "fit: labels": (lambda value: MEASURES.get("openmax")().fit(record_logits(NET, X), value), NO_LABELS),
    "run: thresholds": (lambda value: run(NET, X, value), NO_THRESHOLDS),
    **{f"{name}: thresholds": (lambda value, net=net: net.run(X, value), NO_THRESHOLDS) for name, net in COMPILED.items()},
    "native: thresholds, one sample": (lambda value: COMPILED["native"].run(X[:1], value), NO_THRESHOLDS),
    "exits_at": (RECORDS.exits_at, NO_THRESHOLDS),
    "right_at": (RECORDS.right_at, NO_THRESHOLDS),
    "Thresholds": (lambda value: run(NET, X, Thresholds(value)), NO_THRESHOLDS),
    "PercentExits": (lambda value: run(NET, X, PercentExits(value)), {**NO_THRESHOLDS, "101": [101, 1]}),
    "evaluate": (RECORDS.evaluate, NO_GRIDS | {"None": None}),
    "choose: grid": (lambda value: choose_thresholds(RECORDS, COSTS, "knee", grid=value), NO_GRIDS),
    "choose: costs": (lambda value: choose_thresholds(RECORDS, ExitCosts(value), "knee"), NO_COSTS),
    "choose: costs that are none": (lambda value: choose_thresholds(RECORDS, value, "knee"), NO_COSTS),
    "choose: records": (lambda value: choose_thresholds(value, COSTS, "knee"), NO_NUMBERS),
    "choose: goal": (lambda value: choose_thresholds(RECORDS, COSTS, value), NO_GOALS),
    "parse_goal": (lambda value: parse_goal(value).check(3), {k: v for k, v in NO_GOALS.items() if k not in (
        "latency<=0ms", "budget<=1e-300ms", "multiply-adds<=3")}),
    "choose: seed": (lambda value: choose_thresholds(RECORDS, COSTS, "knee", value), NO_WHOLE_NUMBERS_FROM_0),
    "run: net": (lambda value: run(value, X, 0.5), NO_NETS),
    "record_exits: net": (lambda value: record_exits(value, X, LABELS), NO_NETS),
    "record_logits: net": (lambda value: record_logits(value, X), NO_NETS),
    "compile_net: net": (compile_net, NO_NETS),
    "compile_plain: net": (compile_plain, NO_NETS),
    "compile_net: shape": (lambda value: compile_net(NET, value), NO_SHAPES),
    "initialise": (lambda value: tiny_net().initialise(value), NO_SHAPES | {"None": None}),
    "compile_net: threads": (lambda value: compile_net(NET, threads=value), {**NO_WHOLE_NUMBERS, "1e6": 10**6}),
    "compile_net: engine": (lambda value: compile_net(NET, engine=value), NO_NAMES),
    "compile_net: device": (lambda value: compile_net(NET, device=value), NO_NAMES),
    "compile_net: measure": (lambda value: compile_net(NET, measure=value), NO_NAMES),
    "compile_net: precision": (lambda value: compile_net(NET, precision=value), NO_NAMES),
    "run: measure": (lambda value: run(NET, X, 0.5, measure=value), NO_NAMES),
    "run: batch_size": (lambda value: run(NET, X, 0.5, value), {k: v for k, v in NO_WHOLE_NUMBERS.items() if k != "None"}),
    "record_exits: batch_size": (lambda value: record_exits(NET, X, LABELS, value), NO_WHOLE_NUMBERS),
    "record_logits: batch_size": (lambda value: record_logits(NET, X, value), NO_WHOLE_NUMBERS),
    "BranchyNet": (BranchyNet, NO_LISTS),
    "Branch": (Branch, {**NO_NUMBERS, "[]": [], "[None]": [None], "nested": [[L.Linear(3, 3)]], "link": L.Linear(3, 3)}),
    "Branch: weight": (lambda value: Branch([L.Linear(3, 3)], value), NO_WEIGHTS),
    **{f"TrainingSettings: {name}": (lambda value, name=name: TrainingSettings(**{"epochs": 1, name: value}), NO_SETTINGS)
       for name in ("epochs", "alpha", "beta1", "batch_size", "seed", "weight_decay", "keep", "schedule", "freeze_trunk")},
    **{f"TrainingSettings: {name}": (
        lambda value, name=name: TrainingSettings(**{"epochs": 1, name: value}),
        {k: v for k, v in NO_NAMES.items() if k != "None"}) for name in ("weighting", "loss_weights")},
    **{f"{step.__name__}: {name}": (lambda value, step=step, name=name: train(step, **{name: value}), NO_NUMBERS)
       for step in (train_plain, train_joint) for name in ("splits", "settings", "net")},
    **{f"{step.__name__}: {name}": (lambda value, step=step, name=name: train(step, **{name: value}), NO_FUNCTIONS)
       for step in (train_plain, train_joint) for name in ("transform", "workers")},
    **{f"{step.__name__}: out": (lambda value, step=step: train(step, out=value), NO_FOLDERS) for step in (train_plain, train_joint)},
}  # fmt: skip
CALLS = [(door, kind) for door, (_, values) in DOORS.items() for kind in values]


@pytest.mark.parametrize(("door", "kind"), CALLS, ids=lambda text: text[:60])
def test_a_hostile_call_is_answered_by_an_error_that_says_what_was_expected(door, kind):
    call, values = DOORS[door]
    with warnings.catch_warnings(), pytest.raises(UserError) as error_info:
        warnings.simplefilter("ignore")
        call(values[kind])
    message = str(error_info.value)
    assert (
        "expected" in message
        or "cannot" in message
        or "does not take" in message
        or "takes" in message
        or "largest" in message
    )
    assert len(message) < 3000


def test_there_are_many_calls_and_each_is_another():
    assert len(set(CALLS)) == len(CALLS) >= 900
    assert len(list(itertools.chain(DOORS))) > 50


@pytest.mark.parametrize("labels", [LABELS.tolist(), tuple(LABELS), LABELS.astype(np.uint8), LABELS.astype(np.int64)])
def test_labels_of_any_integers_are_the_same_labels(labels):
    np.testing.assert_array_equal(record_exits(NET, X, labels).labels, LABELS)
    assert record_exits(NET, X, labels).labels.dtype == np.int32


@pytest.mark.parametrize(
    "T", [np.float32(0.5), np.float64(0.5), np.array(0.5), [0.5, 0.5], np.array([0.5, 0.5]), Thresholds([0.5, 0.5])]
)
def test_thresholds_of_any_numbers_are_the_same_thresholds(T):
    np.testing.assert_array_equal(run(NET, X, T).exits, run(NET, X, (0.5, 0.5)).exits)


@pytest.mark.parametrize("weight", [np.float32(0.5), np.float64(0.5), np.array(0.5), 0.5])
def test_loss_weights_of_numpy_are_numbers(weight):
    assert Branch([L.Linear(3, 3)], weight).weight == 0.5


def test_what_a_caller_changes_afterwards_does_not_change_a_rule():
    given, number = [0.5, np.array(0.5)], np.array(0.5)
    rule, share, costs = Thresholds(given), PercentExits(number), np.array([1.0, 2.0, 3.0])
    kept = ExitCosts(costs)
    given[0] = given[1][...] = number[...] = costs[0] = 9
    assert (rule.values, share.values) == ((0.5, 0.5), 0.5) and kept.values.tolist() == [1, 2, 3]

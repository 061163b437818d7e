"""Hostile calls at every public door: an error of our own that says what was expected, never an answer or a traceback.

A door is a function of one value; each gets every value of `hostile_values` that is none for it. At the end stand
values of other kinds that are taken for what they mean.
"""

# ruff: noqa: E501  (tables)

import tempfile
import warnings

import chainer.links as L
import hostile_values as bad
import numpy as np
import pytest
from hostile_values import LABELS, LOGITS, NET, X
from tiny import as_float, tiny_net, tiny_splits

from branchynet import Branch, BranchyNet, PercentExits, load_plain_network, load_weights, run, save_weights
from branchynet.confidence import MEASURES
from branchynet.datasets import load
from branchynet.datasets.transforms import Normalise, Scale, Whiten, scale
from branchynet.errors import UserError
from branchynet.inference import compile_net, compile_plain, record_exits, record_logits
from branchynet.inference.c_export import export_c
from branchynet.inference.onnx_export import export_onnx
from branchynet.thresholds import (
    ExitCosts,
    ExitRecords,
    Thresholds,
    choose_thresholds,
    parse_goal,
    thresholds_for_shares,
)
from branchynet.training import TrainingSettings, train_joint, train_plain

RECORDS = record_exits(NET, X, LABELS)
COSTS = ExitCosts([1.0, 2.0, 3.0])
TRASH = tempfile.TemporaryDirectory()
STEM = f"{TRASH.name}/w"
COMPILED = {name: compile_net(NET, engine=name) for name in ("native", "arrays", "onnxruntime")}


def train(train_step, **changes):
    options = {"net": tiny_net(), "splits": tiny_splits(20, 8, 8), "transform": as_float, "out": "/nowhere/at/all"}
    options |= {"settings": TrainingSettings(epochs=1, batch_size=8), "show_progress": False, **changes}
    return train_step(**options)


# {name of a door: (function of one value, values that are none)}
DOORS = {
    "run: x": (lambda value: run(NET, value, 0.5), bad.NO_BATCHES),
    "record_exits: x": (lambda value: record_exits(NET, value, LABELS), bad.NO_BATCHES),
    "record_logits: x": (lambda value: record_logits(NET, value), bad.NO_BATCHES),
    **{f"{name}: x": (lambda value, net=net: net.run(value, 0.5), bad.NO_BATCHES) for name, net in COMPILED.items()},
    "compiled.record_exits: x": (lambda value: COMPILED["native"].record_exits(value, LABELS), bad.NO_BATCHES),
    "record_exits: labels": (lambda value: record_exits(NET, X, value), bad.NO_LABELS),
    "compiled.record_exits: labels": (lambda value: COMPILED["native"].record_exits(X, value), bad.NO_LABELS),
    "ExitRecords.of: labels": (lambda value: ExitRecords.of(record_logits(NET, X), value), bad.NO_LABELS),
    "fit: labels": (lambda value: MEASURES.get("openmax")().fit(record_logits(NET, X), value), bad.NO_LABELS),
    "run: thresholds": (lambda value: run(NET, X, value), bad.NO_THRESHOLDS),
    **{f"{name}: thresholds": (lambda value, net=net: net.run(X, value), bad.NO_THRESHOLDS) for name, net in COMPILED.items()},
    "native: thresholds, one sample": (lambda value: COMPILED["native"].run(X[:1], value), bad.NO_THRESHOLDS),
    "exits_at": (RECORDS.exits_at, bad.NO_THRESHOLDS),
    "right_at": (RECORDS.right_at, bad.NO_THRESHOLDS),
    "Thresholds": (lambda value: run(NET, X, Thresholds(value)), bad.NO_THRESHOLDS),
    "PercentExits": (lambda value: run(NET, X, PercentExits(value)), {**bad.NO_THRESHOLDS, "101": [101, 1]}),
    "evaluate": (RECORDS.evaluate, bad.NO_GRIDS | {"None": None}),
    "choose: grid": (lambda value: choose_thresholds(RECORDS, COSTS, "knee", grid=value), bad.NO_GRIDS),
    "choose: costs": (lambda value: choose_thresholds(RECORDS, ExitCosts(value), "knee"), bad.NO_COSTS),
    "choose: costs that are none": (lambda value: choose_thresholds(RECORDS, value, "knee"), bad.NO_COSTS),
    "choose: records": (lambda value: choose_thresholds(value, COSTS, "knee"), bad.NO_NUMBERS),
    "choose: goal": (lambda value: choose_thresholds(RECORDS, COSTS, value), bad.NO_GOALS),
    "parse_goal": (lambda value: parse_goal(value).check(3), bad.without(bad.NO_GOALS, "latency<=0ms", "budget<=1e-300ms", "multiply-adds<=3")),
    "choose: seed": (lambda value: choose_thresholds(RECORDS, COSTS, "knee", value), bad.NO_WHOLE_NUMBERS_FROM_0),
    "run: net": (lambda value: run(value, X, 0.5), bad.NO_NETS),
    "record_exits: net": (lambda value: record_exits(value, X, LABELS), bad.NO_NETS),
    "record_logits: net": (lambda value: record_logits(value, X), bad.NO_NETS),
    "compile_net: net": (compile_net, bad.NO_NETS),
    "compile_plain: net": (compile_plain, bad.NO_NETS),
    "compile_net: shape": (lambda value: compile_net(NET, value), bad.NO_SHAPES),
    "initialise": (lambda value: tiny_net().initialise(value), bad.NO_SHAPES | {"None": None}),
    "compile_net: threads": (lambda value: compile_net(NET, threads=value), {**bad.NO_WHOLE_NUMBERS, "1e6": 10**6}),
    "compile_net: engine": (lambda value: compile_net(NET, engine=value), bad.NO_NAMES),
    "compile_net: device": (lambda value: compile_net(NET, device=value), bad.NO_NAMES),
    "compile_net: measure": (lambda value: compile_net(NET, measure=value), bad.NO_NAMES),
    "compile_net: precision": (lambda value: compile_net(NET, precision=value), bad.NO_NAMES),
    "run: measure": (lambda value: run(NET, X, 0.5, measure=value), bad.NO_NAMES),
    "run: batch_size": (lambda value: run(NET, X, 0.5, value), bad.without(bad.NO_WHOLE_NUMBERS, "None")),
    "record_exits: batch_size": (lambda value: record_exits(NET, X, LABELS, value), bad.NO_WHOLE_NUMBERS),
    "record_logits: batch_size": (lambda value: record_logits(NET, X, value), bad.NO_WHOLE_NUMBERS),
    "BranchyNet": (BranchyNet, bad.NO_LISTS),
    "Branch": (Branch, {**bad.NO_NUMBERS, "[]": [], "[None]": [None], "nested": [[L.Linear(3, 3)]], "link": L.Linear(3, 3)}),
    "Branch: weight": (lambda value: Branch([L.Linear(3, 3)], value), bad.NO_WEIGHTS),
    **{f"TrainingSettings: {name}": (lambda value, name=name: TrainingSettings(**{"epochs": 1, name: value}), bad.NO_SETTINGS)
       for name in ("epochs", "alpha", "beta1", "batch_size", "seed", "weight_decay", "keep", "schedule", "freeze_trunk")},
    **{f"TrainingSettings: {name}": (
        lambda value, name=name: TrainingSettings(**{"epochs": 1, name: value}),
        bad.without(bad.NO_NAMES, "None")) for name in ("weighting", "loss_weights")},
    **{f"{step.__name__}: {name}": (lambda value, step=step, name=name: train(step, **{name: value}), bad.NO_NUMBERS)
       for step in (train_plain, train_joint) for name in ("splits", "settings", "net")},
    **{f"{step.__name__}: {name}": (lambda value, step=step, name=name: train(step, **{name: value}), bad.NO_FUNCTIONS)
       for step in (train_plain, train_joint) for name in ("transform", "workers")},
    "fit: seed": (lambda value: MEASURES.get("opengan")(n_steps=1).fit(LOGITS, LABELS, value), bad.NO_WHOLE_NUMBERS_FROM_0),
    "fit: logits": (lambda value: MEASURES.get("calibrated-entropy")().fit(value, LABELS), bad.NO_LOGITS),
    "ExitRecords.of: logits": (lambda value: ExitRecords.of(value, LABELS), bad.NO_LOGITS),
    "thresholds_for_shares": (lambda value: thresholds_for_shares(RECORDS, value), bad.NO_SHARES),
    "thresholds_for_shares: records": (lambda value: thresholds_for_shares(value, [0.1, 0.2]), bad.NO_NUMBERS),
    **{f"{compile_it.__name__}: transform": (lambda value, compile_it=compile_it: compile_it(NET, transform=value),
                                             bad.NO_FUNCTIONS | {"of other samples": lambda images: as_float(images)[..., :5]})
       for compile_it in (compile_net, compile_plain)},
    "compile_net: calibration": (lambda value: compile_net(NET, precision="int8", calibration=value), bad.NO_BATCHES),
    "compile_net: calibration for f32": (lambda value: compile_net(NET, calibration=value), bad.NO_CLASS_NAMES | {"NaN": bad.with_one(bad.NAN)}),
    "Normalise: mean": (lambda value: Normalise(value, [1.0]), bad.NO_CHANNELS),
    "Normalise: std": (lambda value: Normalise([1.0], value), bad.NO_CHANNELS | {"0": [0.0]}),
    "Whiten": (lambda value: Whiten(value, np.eye(36)), bad.NO_CHANNELS),
    **{f"{kind.__name__}.fit": (kind.fit, bad.NO_IMAGES) for kind in (Normalise, Whiten)},
    **{f"{transform.name} of images": (transform, bad.NO_IMAGES) for transform in (Normalise([0.5], [0.5]), Whiten(np.zeros(36), np.eye(36)))},
    "load": (lambda value: load(value, TRASH.name), bad.NO_NAMES),
    "load: data_dir": (lambda value: load("mnist", value), bad.without(bad.NO_FOLDERS, "None", "empty")),
    "load_weights: net": (lambda value: load_weights(value, STEM), bad.NO_NETS),
    "load_plain_network: net": (lambda value: load_plain_network(value, STEM), bad.NO_NETS),
    "load_weights: stem": (lambda value: load_weights(NET, value), bad.NO_FOLDERS),
    "save_weights: net": (lambda value: save_weights(value, STEM), bad.NO_NETS),
    "save_weights: stem": (lambda value: save_weights(NET, value), bad.NO_FOLDERS),
    "save_weights: transform": (lambda value: save_weights(NET, STEM, transform=value), bad.NO_FUNCTIONS | {"class": Scale}),
    "save_weights: class_names": (lambda value: save_weights(NET, STEM, class_names=value), bad.NO_CLASS_NAMES),
    **{f"save_weights: {name}": (lambda value, name=name: save_weights(NET, STEM, **{name: value}), bad.NO_DICTIONARIES)
       for name in ("provenance", "dataset")},
    "export_onnx: net": (lambda value: export_onnx(value, 0.5, f"{STEM}.onnx"), bad.NO_NETS),
    "export_onnx: path": (lambda value: export_onnx(NET, 0.5, value), bad.NO_FOLDERS | {"another ending": f"{STEM}.txt"}),
    "export_onnx: transform": (lambda value: export_onnx(NET, 0.5, f"{STEM}.onnx", value), bad.NO_FUNCTIONS),
    "export_c: net": (lambda value: export_c(value, 0.5, STEM, scale), bad.NO_NETS),
    "export_c: folder": (lambda value: export_c(NET, 0.5, value, scale), bad.NO_FOLDERS),
    "export_c: transform": (lambda value: export_c(NET, 0.5, STEM, value), bad.NO_FUNCTIONS),
    "export_c: target": (lambda value: export_c(NET, 0.5, STEM, scale, value), bad.NO_NAMES),
    "export_c: class_names": (lambda value: export_c(NET, 0.5, STEM, scale, class_names=value), bad.NO_CLASS_NAMES),
    **{f"{step.__name__}: out": (lambda value, step=step: train(step, out=value), bad.NO_FOLDERS) for step in (train_plain, train_joint)},
}  # fmt: skip
CALLS = [(door, kind) for door, (_, values) in DOORS.items() for kind in values]


@pytest.mark.parametrize(("door", "kind"), CALLS, ids=lambda text: text[:60])
def test_a_hostile_call_is_answered_by_an_error_that_says_what_was_expected(door, kind):
    call, values = DOORS[door]
    with warnings.catch_warnings(), pytest.raises(UserError) as error_info:
        warnings.simplefilter("ignore")
        call(values[kind])
    message = str(error_info.value)
    assert any(words in message for words in ("expected", "cannot", "does not take", "takes", "largest"))
    assert len(message) < 3000


def test_there_are_many_calls_and_each_is_another():
    assert len(set(CALLS)) == len(CALLS) >= 900
    assert len(DOORS) > 50


@pytest.mark.parametrize("labels", [LABELS.tolist(), tuple(LABELS), LABELS.astype(np.uint8), LABELS.astype(np.int64)])
def test_labels_of_any_integers_are_the_same_labels(labels):
    np.testing.assert_array_equal(record_exits(NET, X, labels).labels, LABELS)
    assert record_exits(NET, X, labels).labels.dtype == np.int32


@pytest.mark.parametrize("weight", [np.float32(0.5), np.float64(0.5), np.array(0.5), 0.5])
def test_loss_weights_of_numpy_are_numbers(weight):
    assert Branch([L.Linear(3, 3)], weight).weight == 0.5

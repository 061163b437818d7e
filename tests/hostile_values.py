"""Values that are none of what a public door takes, for tests/test_hostile_calls.py: {name: value}."""

# ruff: noqa: E501  (tables)

import decimal
import math

import chainer
import chainer.links as L
import numpy as np
from tiny import N_CLASSES, tiny_batch, tiny_list, tiny_net

from branchynet import Branch
from branchynet.inference import compile_net, record_logits

NAN, INF = math.nan, math.inf
NET = tiny_net()
X, LABELS = tiny_batch(9)
LOGITS = record_logits(NET, X)


class Unspeakable:
    """Its own text is an error."""

    def __repr__(self):
        raise RuntimeError("no text")


def without(values, *names):
    """A table less what a door does take."""
    return {name: value for name, value in values.items() if name not in names}


def with_one(value):
    x = X.copy()
    x[3, 0, 2, 2] = value
    return x


NOTHING = {"None": None, "text": "12", "bytes": b"12", "dict": {1: 2}, "set": {1, 2}, "object": object()}
NOTHING |= {"unspeakable": Unspeakable(), "function": len, "class": int, "complex": 1j, "generator": (i for i in "12")}
NO_NUMBERS = {**NOTHING, "nan": NAN, "huge": 10**400, "list of lists": [[1], [2]], "decimal": decimal.Decimal("0.1")}
NO_NUMBERS |= {"nan array": np.array(NAN), "masked": np.ma.array(1.0, mask=True), "texts": ["1", "2"]}
NO_WHOLE_NUMBERS = {
    **without(NO_NUMBERS, "huge"),
    "0": 0, "-1": -1, "2.5": 2.5, "infinity": INF, "True": True, "np.True_": np.True_,
    "2.0": 2.0, "np.float32(2)": np.float32(2), "[3]": [3],
}  # fmt: skip
NO_WHOLE_NUMBERS_FROM_0 = without(NO_WHOLE_NUMBERS, "0")
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
    **without(NO_NUMBERS, "None"), "a number": 3, "()": (), "(0, 6, 6)": (0, 6, 6), "negative": (1, -6, 6), "float": (1, 6.0, 6), "NaN": (NAN, 6, 6),
    "(6, 6)": (6, 6), "one axis more": (1, 6, 6, 1), "other": (1, 5, 5), "huge": (10**9,) * 3, "large": (1, 10**6, 10**6),
    "bool": (True, 6, 6), "array": np.array([1, 6, 6]), "text in it": (1, "6", 6), "None in it": (1, None, 6), "2**63": (2**63, 1, 1),
}  # fmt: skip
NO_NETS = {
    **NO_NUMBERS, "a list": tiny_list(), "plain net": NET.plain(), "compiled": compile_net(NET, engine="arrays"),
    "link": L.Linear(3, 3),
}  # fmt: skip
NO_NAMES = {**NO_NUMBERS, "no such": "no such", "list": ["entropy"], "number": 3, "empty": ""}
NO_COSTS = {
    **NO_NUMBERS, "negative": [-1, 1, 2], "NaN in it": [NAN, 1, 2], "infinity": [INF, 1, 1], "2-D": [[1, 2, 3]],
    "a number": 3, "too few": [1, 2], "too many": [1] * 4, "masked costs": np.ma.array([1.0, 2, 3], mask=[0, 1, 0]),
}  # fmt: skip
NO_GRIDS = {
    **without(NO_NUMBERS, "None"), "[]": [], "NaN in it": [[NAN, 0.1]], "-1": [[-1, 0.1]], "too few": [[0.1]], "1-D": [0.1, 0.2],
    "a number": 3, "ragged": [[1], [1, 2]], "masked grid": np.ma.array([[0.1, 0.2]], mask=[[1, 0]]),
    "3 columns": np.zeros((3, 3)),
}  # fmt: skip
GOALS = ("", "knees", "latency<=", "latency<=nanms", "latency<=-1ms", "latency<=1e999ms", "latency<=0ms", "exits=60", "exits=a,b",
         "risk<=0.5%@200%", "risk<=%@%", "accuracy>=101%", "accuracy>=last-nan%", "quantile=2", "quantile=-1", "x" * 10**5,
         "budget<=1e-300ms", "latency<=" + "9" * 500 + "ms", "multiply-adds<=3", "knee;knee", "latency<=1s", "expected-risk<=-1%")  # fmt: skip
NO_GOALS = {**NO_NUMBERS, **{goal[:40] or "empty": goal for goal in GOALS}}
NO_LISTS = {
    **NO_NUMBERS, "[]": [], "[None]": [None], "no Branch at the end": tiny_list()[:2], "nested": [tiny_list()],
    "class": [Branch],
}  # fmt: skip
NO_LOGITS = {
    **NO_NUMBERS, "2-D": LOGITS[0], "integers": LOGITS.astype(int), "complex array": LOGITS + 1j, "text array": LOGITS.astype(str),
    "objects": LOGITS.astype(object), "masked logits": np.ma.array(LOGITS, mask=LOGITS > 0), "ragged": [LOGITS[0], LOGITS[1][:3]],
    "one NaN": np.where(LOGITS.max() == LOGITS, NAN, LOGITS), "infinity": INF * LOGITS, "no class": LOGITS[..., :0], "no exit": [],
    "Variables": [chainer.Variable(z) for z in LOGITS], "lists": LOGITS.tolist(),
}  # fmt: skip
NO_SHARES = {**NO_NUMBERS, "2-D": [[0.1, 0.2]], "NaN in it": [NAN, 0.1], "too few": [0.1], "too many": [0.1] * 3, "-0.1": [-0.1, 0.2],
             "more than all": [0.9, 0.9], "masked shares": np.ma.array([0.1, 0.2], mask=[0, 1]), "none": []}  # fmt: skip
NO_CHANNELS = {
    **NO_NUMBERS, "3": 3, "none": [], "too many": [1.0, 1.0], "NaN in it": [NAN], "2-D": [[1.0]], "text in it": ["1"],
}  # fmt: skip
NO_IMAGES = {**NO_NUMBERS, "float32": X, "3": 3, "2-D": np.zeros((9, 36), np.uint8), "none": [], "lists": X.tolist()}
NO_CLASS_NAMES = {**without(NO_NUMBERS, "None"), "too few": ["a"] * 2, "too many": ["a"] * 4, "numbers": [1, 2, 3]}
NO_DICTIONARIES = without(NO_NUMBERS, "None", "dict") | {"array": X, "[]": []}
NO_WEIGHTS = {**NO_NUMBERS, "-1": -1, "infinity": INF, "True": True, "array": np.ones(3)}
NO_SETTINGS = {**NO_NUMBERS, "-1": -1, "infinity": INF, "np.nan": np.float32(NAN)}
NO_FUNCTIONS = without(NO_NUMBERS, "function", "class", "None") | {"of another kind": len}
NO_FOLDERS = without(NO_NUMBERS, "text") | {"empty": "", "null": "a\0b", "long": "/tmp/" + "x" * 300}

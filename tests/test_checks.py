"""The checks for extensions: they pass all that the library brings, and find what an extension may get wrong."""

import contextlib

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import moved, state_of, tiny_batch, tiny_net

from branchynet import Branch, BranchyNet
from branchynet.checks import check_goal, check_lowering, check_measure, check_weighting
from branchynet.confidence import MEASURES, Entropy, Measure
from branchynet.errors import CompileError, MeasureError, ThresholdError, TrainingError
from branchynet.inference import register_lowering
from branchynet.inference.operations import Linear
from branchynet.thresholds import Found, register_goal
from branchynet.training.weightings import WEIGHTINGS


@pytest.mark.parametrize("name", [name for name in MEASURES.names() if name not in ("correctness-net", "opengan")])
def test_the_measures_of_the_library_pass(name, device):
    check_measure(name, device.name)


def measure_of(scores, **attributes):
    return type(
        "Own", (Measure,), {"name": "own", "scores": lambda self, index, logits: scores(logits), **attributes}
    )()


def sorting(logits):
    logits.sort(axis=1)
    return -logits[:, -1]


CALLS = []


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (measure_of(sorting, lowest=-np.inf), "logits that stay as they were"),
        (measure_of(lambda z: z), "one real score for each sample"),
        (measure_of(lambda z: z[:, 0] + 1j), "one real score"),
        (measure_of(lambda z: z[:, 0] * np.float32("nan")), "finite scores"),
        (measure_of(lambda z: z[:, 0]), "scores >= lowest, 0"),
        (measure_of(lambda z: CALLS.append(1) or np.full(len(z), float(len(CALLS)))), "the same scores at every call"),
        (measure_of(lambda z: np.abs(z[:, 0] - z[:, 0].mean())), "the score of a sample alone to be that in a batch"),
        (measure_of(lambda z: z.var(axis=1), score_of_one=lambda self, index, z: 0.0), "score_of_one to be the score"),
        (measure_of(lambda z: np.exp(z).sum(axis=1)), "finite scores of large logits"),
    ],
)
def test_a_measure_that_gets_one_thing_wrong_is_told_what(measure, message):
    with np.errstate(all="ignore"), pytest.raises(MeasureError, match=f"^own: expected {message}"):
        check_measure(measure)


def test_a_measure_may_be_of_ones_own():
    check_measure(measure_of(lambda z: -z.max(axis=1), lowest=-np.inf))
    check_measure(Entropy())


@pytest.mark.parametrize(
    "goal", ["knee", "latency<=1.5ms", "latency<=0.1ms", "accuracy>=last-1%", "risk<=10%@80%", "quantile=0.5"]
)
def test_the_goals_of_the_library_pass(goal):
    check_goal(goal)


def found(thresholds, rule="as it is"):
    return lambda problem: Found(thresholds(problem), rule)


def spoiling(problem):
    problem.records.scores[...] = 0
    return (0.5,) * (problem.records.n_exits - 1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (found(lambda problem: (np.nan,) * (problem.records.n_exits - 1)), "expected"),
        (found(lambda problem: (0.5,)), "expected"),
        (found(spoiling), "records and costs that stay as they were"),
        (
            found(lambda problem: (CALLS.append(1) or float(len(CALLS)),) * (problem.records.n_exits - 1)),
            "the same thresholds",
        ),
        (found(lambda problem: (0.5,) * (problem.records.n_exits - 1), ""), "the rule in words"),
    ],
)
def test_a_goal_that_gets_one_thing_wrong_is_told_what(function, message):
    register_goal("own", "own")(function)
    with pytest.raises(ThresholdError, match=message):
        check_goal("own")


@pytest.mark.parametrize("name", [None, *WEIGHTINGS.names()])
def test_the_weightings_of_the_library_pass(name):
    net = tiny_net()
    before = state_of(net)
    check_weighting(name, net, *tiny_batch(8))
    assert moved(before, state_of(net)) == set()


@pytest.mark.parametrize(
    ("weighting", "message"),
    [
        (lambda exits: [exits[0].cross_entropy], "3 Variables"),
        (lambda exits: [exit.sample_losses for exit in exits], "3 Variables"),
        (lambda exits: [1.0] * 3, "3 Variables"),
        (lambda exits: [exit.cross_entropy * np.float32("nan") for exit in exits], "finite losses"),
        (lambda exits: [F.sum(exits[0].cross_entropy)] * 3, "finite gradients at exit 2"),
        (
            lambda exits: CALLS.append(1) or [exit.cross_entropy * float(len(CALLS)) for exit in exits],
            "the same losses",
        ),
        (lambda exits: [_halved(exit) for exit in exits], "logits that stay as they were"),
        (lambda exits: [0 * exit.cross_entropy for exit in exits], "gradients at exit 1 from its own loss, got zeros"),
        (lambda exits: [exit.cross_entropy for exit in exits[::-1]], "finite gradients at exit 1, got none"),
    ],
)
def test_a_weighting_that_gets_one_thing_wrong_is_told_what(weighting, message):
    with chainer.using_config("train", False), pytest.raises(TrainingError, match=message):
        check_weighting(weighting, tiny_net(), *tiny_batch(8))


def _halved(exit):
    exit.logits.array[...] /= 2
    return exit.cross_entropy


class Doubled(L.Linear):
    """A link that nothing is registered for."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("lower", "message"),
    [
        (lambda link: [Linear(2 * link.W.array, 2 * link.b.array)], None),
        (lambda link: [Linear(link.W.array.copy(), link.b.array.copy())], "the logits of the layers themselves"),
        (lambda link: [Linear(link.W.array, 2 * link.b.array)], "the logits of the layers themselves"),
    ],
)
def test_a_lowering_is_held_against_its_layer(lower, message):
    register_lowering(Doubled)(lower)
    net, x = (
        BranchyNet([Doubled(4, 4), Branch([L.Linear(4, 3)])]),
        np.random.default_rng(0).normal(size=(5, 4)).astype("f"),
    )
    context = contextlib.nullcontext() if message is None else pytest.raises(CompileError, match=message)
    with context:
        check_lowering(net, x)

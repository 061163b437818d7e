"""What the README shows works: a goal, a measure and a weighting of one's own are one function each, and no more."""

import pathlib
import re

import chainer
import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_net

from branchynet import run
from branchynet.choosers import ExitCosts, choose_thresholds
from branchynet.devices import to_host
from branchynet.inference import compile, record_exits
from branchynet.training import JointLoss
from branchynet.training.weightings import protocol

README = (pathlib.Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def example(word):
    """The Python example of the README that the word occurs in."""
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in block]
    return block


def test_a_goal_of_ones_own():
    exec(example("@register_goal"), {})
    x, labels = tiny_batch(30)
    choice = choose_thresholds(record_exits(tiny_net(), x, labels), ExitCosts(np.array([1, 2, 3])), "same-T=0.25nats")
    assert choice.thresholds == (0.25, 0.25) and choice.rule == "T = 0.25 at every early exit"


@pytest.mark.parametrize("threshold", [-0.5, -1e9, 1.0])
def test_a_measure_of_ones_own(threshold):
    exec(example("@register_measure"), {})
    net = tiny_net()
    x, _ = tiny_batch(30)
    expected = run(net, x, threshold, measure="logit-gap")
    compiled = compile(net, SHAPE, engine="arrays", measure="logit-gap")
    for answers in (compiled.run(x, threshold), compiled.run(x[:1], threshold)):
        n = len(answers.exits)
        np.testing.assert_array_equal(to_host(answers.exits), expected.exits[:n])
    assert (expected.exits == 0).all() == (threshold == 1.0) and (expected.exits == 2).all() == (threshold == -1e9)


def test_a_weighting_of_ones_own(monkeypatch):
    monkeypatch.setattr(protocol, "_registered", dict(protocol._registered))
    exec(example("@register_weighting"), {})
    net = tiny_net()
    x, t = tiny_batch()
    loss = JointLoss(net, weighting="focal", loss_weights=(0, 0, 1))
    with chainer.using_config("train", False):
        right = chainer.functions.softmax(net(x)[-1]).array[np.arange(len(t)), t]
        np.testing.assert_allclose(loss(x, t).array, ((1 - right) ** 2 * -np.log(right)).mean(), rtol=1e-5)

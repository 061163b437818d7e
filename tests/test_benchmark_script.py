"""The parts of `experiments/benchmark.py` that decide something."""

import pathlib
import sys

import pytest

from branchynet import BranchyNet
from networks import lenet_mnist

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
import benchmark as script


def test_the_limit_of_the_gain_and_the_break_even_follow_from_multiply_adds():
    net = BranchyNet(lenet_mnist.get_network())
    net.initialise(lenet_mnist.INPUT_SHAPE)
    result = script.limits(net, [94.3, 5.7])
    assert result["plain_multiply_adds"] == 1_140_070
    assert result["multiply_add_limit_of_gain"] == pytest.approx(1_140_070 / (0.943 * 220_150 + 0.057 * 1_247_720))
    (first,) = result["early_exits"]
    assert first["break_even_pct_of_reaching"] == pytest.approx(100 * 107_650 / (1_140_070 - 112_500))
    assert first["leaving_pct_of_reaching"] == pytest.approx(94.3)

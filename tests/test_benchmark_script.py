"""The parts of `experiments/benchmark.py` that decide something."""

import pathlib
import sys

import numpy as np
import pytest

from branchynet import BranchyNet
from branchynet.thresholds import ExitRecords, evaluate
from networks import lenet_mnist

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
import benchmark as script


@pytest.mark.parametrize("mix_pct", [(50.0, 25.0), (0.0, 30.0), (94.3, 5.0), (100.0, 0.0)])
def test_thresholds_give_the_exit_mix_that_is_asked_for(rng, mix_pct):
    entropies = rng.random((3, 1000)).astype(np.float32)
    records = ExitRecords(entropies, np.zeros((3, 1000), np.int32), np.zeros(1000, np.int32))
    shares = evaluate(records, script.thresholds_for_mix(records, mix_pct)).exit_shares
    np.testing.assert_allclose(shares[:2], np.array(mix_pct) / 100, atol=0.002)


def test_the_limit_of_the_gain_and_the_break_even_follow_from_multiply_adds():
    net = BranchyNet(lenet_mnist.get_network())
    net.initialise(lenet_mnist.INPUT_SHAPE)
    result = script.limits(net, [94.3, 5.7])
    assert result["plain_multiply_adds"] == 1_140_070
    assert result["multiply_add_limit_of_gain"] == pytest.approx(1_140_070 / (0.943 * 220_150 + 0.057 * 1_247_720))
    (first,) = result["early_exits"]
    assert first["break_even_pct_of_reaching"] == pytest.approx(100 * 107_650 / (1_140_070 - 112_500))
    assert first["leaving_pct_of_reaching"] == pytest.approx(94.3)

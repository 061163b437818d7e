"""Several workers train what one would train."""

import numpy as np
import pytest
from tiny import state_of, tiny_net
from two_workers import ROOT, run_two

from branchynet import records, serialization

from .runs import assert_same_arrays, both
from .train_tiny import SETTINGS, SPLITS


def test_two_workers_give_the_loss_curve_and_the_weights_of_one(tmp_path, device):
    """And those that were stopped within an epoch and resumed give the weights of those that were not, to the bit."""
    if device.xp is not np and device.xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU is here, two are needed")
    one, two, resumed = tiny_net(device=device), tiny_net(seed=9), tiny_net(seed=9)
    both(one, tmp_path / "one", settings=SETTINGS, splits=SPLITS)
    for net, name, n_batches in ((two, "two", ()), (resumed, "resumed", (6,))):
        ended = run_two("-m", "training.train_tiny", tmp_path / name, "cpu" if device.xp is np else "gpu", *n_batches)
        assert ended.returncode == 0 and "was not stopped" not in ended.stderr, ended.stderr
        serialization.load_weights(net, tmp_path / name / "weights")
    assert_same_arrays(state_of(resumed), state_of(two))
    for phase in ("plain", "joint"):
        logs = [records.read_json(tmp_path / name / f"{phase}.log.json") for name in ("one", "two")]
        assert [len(log) for log in logs] == [SETTINGS.epochs] * 2
        for entry, other in zip(*logs):
            entry.pop("elapsed_time"), other.pop("elapsed_time")
            assert other == pytest.approx(entry, rel=1e-4)
    assert_same_arrays(state_of(two), state_of(one), rtol=0, atol=1e-6)
    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "two").iterdir()} == files | {"weights.npz", "weights.json"}


def test_an_error_that_all_workers_meet_is_reported_once_and_ends_them(tmp_path):
    script = ROOT / "experiments" / "lenet_mnist.py"
    ended = run_two(script, "--thresholds", "1", "2", "3", "--out", tmp_path)
    assert ended.returncode != 0
    assert ended.stderr.count("expected 1 (the last exit takes all), got 3") == 1

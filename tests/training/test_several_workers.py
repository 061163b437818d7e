"""Several workers train what one would train."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from tiny import tiny_net

from branchynet import records, serialization
from branchynet.machine.devices import get_device, gpu_problem

from .runs import assert_same_arrays, both, weights
from .train_tiny import SETTINGS, SPLITS

ROOT = pathlib.Path(__file__).resolve().parents[2]


def mpiexec():
    """The launcher that belongs to this interpreter, or the system's; skips the test where there is none."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed; in the project's folder: pip install -e '.[mpi]'")
    beside = pathlib.Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec; in the project's folder: pip install -e '.[mpi]'")
    return found


def run_two(*command):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [mpiexec(), "-n", "2", sys.executable, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def skip_without_two_gpus():
    if problem := gpu_problem():
        pytest.skip(problem)
    if get_device("gpu").xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU is here, two are needed")


@pytest.mark.parametrize("n_batches", [(), (6,)], ids=["not stopped", "stopped within an epoch, and resumed"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def test_two_workers_give_the_loss_curve_and_the_weights_of_one(tmp_path, device, n_batches):
    if device == "gpu":
        skip_without_two_gpus()
    one, two = tiny_net(), tiny_net(seed=9)
    get_device(device).use()
    one.to_device(get_device(device))
    both(one, tmp_path / "one", settings=SETTINGS, splits=SPLITS)
    ended = run_two("-m", "training.train_tiny", tmp_path / "two", device, *n_batches)
    assert ended.returncode == 0 and "was not stopped" not in ended.stderr, ended.stderr
    for phase in ("plain", "joint"):
        logs = [records.read_json(tmp_path / name / f"{phase}.log.json") for name in ("one", "two")]
        assert [len(log) for log in logs] == [SETTINGS.epochs] * 2
        for entry, other in zip(*logs):
            entry.pop("elapsed_time"), other.pop("elapsed_time")
            assert other == pytest.approx(entry, rel=1e-4)
    serialization.load_weights(two, tmp_path / "two" / "weights")
    assert_same_arrays(weights(two), weights(one), rtol=1e-3, atol=1e-5)
    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "two").iterdir()} == files | {"weights.npz", "weights.json"}


def test_an_error_that_all_workers_meet_is_reported_once_and_ends_them(tmp_path):
    script = ROOT / "experiments" / "lenet_mnist.py"
    ended = run_two(script, "--thresholds", "1", "2", "3", "--out", tmp_path)
    assert ended.returncode != 0
    assert ended.stderr.count("expected 1 (the last exit takes all), got 3") == 1

"""Several processes train what one would train."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tiny import tiny_data, tiny_net
from train_tiny import N_SAMPLES, SETTINGS

from branchynet import records, serialization
from branchynet.processes import Processes, Share
from branchynet.training import train_joint, train_main

ROOT = pathlib.Path(__file__).resolve().parents[1]


class FakeCommunicator:
    """The place of one process among several, without the others."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size
        self.intra_rank, self.intra_size = rank, size


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


@pytest.mark.parametrize("n_samples", [1, 2, 5, 8, 17])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_shares_of_all_processes_make_up_the_batch(n_samples, size):
    shares = [Processes(FakeCommunicator(rank, size)).share(n_samples) for rank in range(size)]
    counted = [row for share in shares if share.weight > 0 for row in range(share.start, share.stop)]
    assert counted == list(range(n_samples))
    # The mean over the processes of weighted means is the mean over the samples.
    values = np.arange(n_samples) ** 2.0
    means = [share.weight * values[share.rows].mean() for share in shares]
    assert np.mean(means) == pytest.approx(values.mean())


def test_a_process_without_a_share_works_on_a_row_that_counts_for_nothing():
    assert Processes(FakeCommunicator(0, 2)).share(1) == Share(0, 1, 1, 0.0)
    assert Processes(FakeCommunicator(1, 2)).share(1) == Share(0, 1, 1, 2.0)


def test_alone_nothing_is_exchanged():
    processes = Processes()
    reports = {"loss": (0.5, 3)}
    assert processes.mean(reports) is reports
    assert processes.is_first and processes.size == 1 and processes.share(7) == Share(0, 7, 7, 1.0)
    assert [processes.any(flag) for flag in (True, False)] == [True, False]
    processes.wait(), processes.abort(2), processes.mean_gradients(tiny_net())


@pytest.mark.parametrize("n_batches", [(), (6,)], ids=["not stopped", "stopped within an epoch, and resumed"])
def test_two_processes_give_the_loss_curve_and_the_weights_of_one(tmp_path, n_batches):
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    one = tiny_net()
    data = tiny_data(n=N_SAMPLES, n_validation=5)
    train_main(one, data, SETTINGS, tmp_path / "one", show_progress=False)
    train_joint(one, data, SETTINGS, tmp_path / "one", show_progress=False)

    ended = run_two(ROOT / "tests" / "train_tiny.py", tmp_path / "two", *n_batches)
    assert ended.returncode == 0 and "was not stopped" not in ended.stderr, ended.stderr
    for phase in ("main", "joint"):
        logs = [records.read_json(tmp_path / name / f"{phase}.log.json") for name in ("one", "two")]
        assert [len(log) for log in logs] == [SETTINGS.epochs] * 2
        for entry, other in zip(*logs):
            entry.pop("elapsed_time"), other.pop("elapsed_time")
            assert other == pytest.approx(entry, rel=1e-4)
    two = tiny_net(seed=9)
    serialization.load_weights(two, tmp_path / "two" / "weights")
    for (name, ours), (_, theirs) in zip(one.namedparams(), two.namedparams()):
        np.testing.assert_allclose(theirs.array, ours.array, rtol=1e-3, atol=1e-5, err_msg=name)


def test_an_error_that_all_processes_meet_is_reported_and_ends_them(tmp_path):
    script = ROOT / "experiments" / "lenet_mnist.py"
    ended = run_two(script, "--thresholds", "1", "2", "3", "--out", tmp_path)
    assert ended.returncode != 0
    assert ended.stderr.count("expected 1 (the last exit takes all), got 3") == 1

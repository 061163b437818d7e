"""What a worker knows of the others. Whole trainings by two workers: `tests/training/test_several_workers.py`."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import tiny_net

from branchynet.errors import DeviceError
from branchynet.links import BatchNormalization
from branchynet.machine import devices
from branchynet.machine import workers as workers_module
from branchynet.machine.devices import to_host
from branchynet.machine.workers import Shard, Workers


class FakeCommunicator:
    """The place of one worker among several, without the others; sums are those of `size` equal workers."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size
        self.intra_rank, self.intra_size = rank, size
        self.mpi_comm = SimpleNamespace(Allreduce=self.add_up)

    def add_up(self, numbers, total):
        """MPI's Allreduce: arrays of the host only."""
        assert type(numbers) is np.ndarray
        total[...] = self.size * numbers


@pytest.mark.parametrize("n_samples", [1, 2, 5, 8, 17])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_shards_of_all_workers_make_up_the_batch(n_samples, size):
    shards = [Workers(FakeCommunicator(rank, size)).shard(n_samples) for rank in range(size)]
    counted = [row for shard in shards if shard.weight > 0 for row in range(shard.start, shard.stop)]
    assert counted == list(range(n_samples))
    # The mean over the workers of weighted means is the mean over the samples.
    values = np.arange(n_samples) ** 2.0
    means = [shard.weight * values[shard.rows].mean() for shard in shards]
    assert np.mean(means) == pytest.approx(values.mean())


def test_a_worker_without_a_row_of_its_own_works_on_one_that_weighs_nothing():
    assert Workers(FakeCommunicator(0, 2)).shard(1) == Shard(0, 1, 1, 0.0)
    assert Workers(FakeCommunicator(1, 2)).shard(1) == Shard(0, 1, 1, 2.0)


def test_alone_nothing_is_exchanged():
    workers = Workers()
    reports = {"loss": (0.5, 3)}
    assert workers.mean(reports) is reports
    assert workers.is_first and workers.size == 1 and workers.shard(7) == Shard(0, 7, 7, 1.0)
    assert [workers.any(flag) for flag in (True, False)] == [True, False]
    workers.wait(), workers.abort(2), workers.mean_gradients(tiny_net()), workers.mean_statistics(tiny_net())


def test_means_leave_out_a_worker_without_samples():
    workers = Workers(FakeCommunicator(0, 2))
    assert workers.mean({"loss": (0.5, 3), "accuracy": (1.0, 2)}) == {"loss": (0.5, 6), "accuracy": (1.0, 4)}
    workers._communicator.mpi_comm.Allreduce = lambda numbers, total: np.add(numbers, [2.5, 5], out=total)
    assert workers.mean({"loss": (float("nan"), 0)}) == {"loss": (0.5, 5)}


def test_the_mean_of_statistics_goes_through_the_host_and_leaves_whole_numbers_alone(device, rng):
    link = BatchNormalization(3)
    link.avg_mean[...], link.avg_var[...] = rng.normal(size=(2, 3))
    expected = link.avg_mean.copy(), 2 * link.avg_var
    link.to_device(device)
    workers = Workers(FakeCommunicator(0, 2))

    def add_up(numbers, total):  # the other worker has the same means, and three times the variances
        np.multiply(numbers, np.repeat([2, 4], 3), out=total)

    workers._communicator.mpi_comm.Allreduce = add_up
    workers.mean_statistics(link)
    for array, values in zip((link.avg_mean, link.avg_var), expected):
        assert array.dtype == np.float32 and isinstance(array, device.xp.ndarray)
        np.testing.assert_allclose(to_host(array), values, rtol=1e-6)
    assert link.N == 0


@pytest.mark.parametrize("cuda", [12, 13])
def test_without_nccl_the_package_for_the_installed_cupy_is_named(cuda, monkeypatch):
    def refuse(name):
        assert name == "pure_nccl"
        raise RuntimeError("NCCL is not available")

    runtime = SimpleNamespace(runtimeGetVersion=lambda: 1000 * cuda + 90)
    monkeypatch.setattr(devices, "_runtime", lambda: runtime)
    monkeypatch.setenv(workers_module.LAUNCHER_VARIABLES[0], "2")
    monkeypatch.setitem(sys.modules, "chainermn", SimpleNamespace(create_communicator=refuse))
    expected = f"expected mpi4py and CuPy with NCCL, got: NCCL is not available; .*pip install nvidia-nccl-cu{cuda}"
    with pytest.raises(DeviceError, match=expected):
        workers_module.get_workers(on_gpu=True)

"""The workers that train one network together: what each knows of the others. They speak through ChainerMN, over MPI.

Data-parallel training (Akiba et al., arXiv 1710.11351): every worker is a process that has the whole network and takes
its shard of each batch. Gradients are averaged, so that all workers take the same step, the one that a single worker
would take. Without `mpiexec` there is one worker, and neither MPI nor ChainerMN is imported.
"""

import os
import time
import typing

import chainer
import numpy as np

from branchynet.errors import DeviceError
from branchynet.machine.devices import nccl_package, to_host

# Set by the launchers for the workers that they start: Open MPI, MPICH and Intel MPI, Slurm's PMIx.
LAUNCHER_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK")
_POLL_S = 0.2


class Shard(typing.NamedTuple):
    """The part of a batch that a worker works on."""

    start: int  # its first row; there is at least one, or there would be no gradient to average
    stop: int  # behind its last row
    n_samples: int  # of the whole batch
    # How much the mean over its rows counts in the mean over the workers; 0 where a worker has no row of its own and
    # works on the first one.
    weight: float

    @property
    def rows(self) -> slice:
        """The rows as a slice."""
        return slice(self.start, self.stop)


class Workers:
    """The workers that train one network together.

    Args:
        communicator: of ChainerMN; None for a single worker.

    Attributes:
        rank: number of this worker; the first, 0, writes the files.
        size: number of workers.
        on_this_machine: number of workers that share the cores of this machine.
        rank_on_this_machine: number of this worker among those.
    """

    def __init__(self, communicator=None):
        self._communicator = communicator
        self.rank = 0 if communicator is None else communicator.rank
        self.size = 1 if communicator is None else communicator.size
        self.on_this_machine = 1 if communicator is None else communicator.intra_size
        self.rank_on_this_machine = 0 if communicator is None else communicator.intra_rank

    @property
    def is_first(self) -> bool:
        """Whether this is the worker that reports and writes."""
        return self.rank == 0

    def shard(self, n_samples: int) -> Shard:
        """The shard of this worker; those of all workers are equal to within one row.

        Args:
            n_samples: of the batch, at least 1.
        """
        start, stop = (n_samples * rank // self.size for rank in (self.rank, self.rank + 1))
        weight = (stop - start) * self.size / n_samples
        return Shard(start, stop, n_samples, weight) if stop > start else Shard(0, 1, n_samples, 0.0)

    def send_first_weights(self, net) -> None:
        """Gives all workers the parameters of the first."""
        if self.size > 1:
            self._communicator.bcast_data(net)

    def mean_gradients(self, link) -> None:
        """Replaces the gradients of all parameters of a link by their means over the workers."""
        if self.size > 1:
            for param in link.params():
                # Of an array in another order ChainerMN averages a copy, and loses it.
                if param.grad is not None and not param.grad.flags.c_contiguous:
                    param.grad = param.xp.ascontiguousarray(param.grad)
            self._communicator.multi_node_mean_grad(link)

    def mean_statistics(self, link) -> None:
        """Replaces the running statistics of batch normalisation in a link by their means over the workers."""
        if self.size == 1:
            return
        statistics = list(statistics_of(link).values())
        # ChainerMN's own extension hands MPI pointers to a GPU's memory, which few builds of MPI take.
        flat = [to_host(array).ravel() for array in statistics]
        means = self._sum(np.concatenate([np.empty(0), *flat])) / self.size
        for array, mean in zip(statistics, np.split(means, np.cumsum([array.size for array in statistics]))):
            array[...] = chainer.backend.get_array_module(array).asarray(mean.reshape(array.shape), array.dtype)

    def mean(self, reports: dict) -> dict:
        """Means over all samples of all workers.

        Args:
            reports: {name: (mean over this worker's samples, weight: how many they are)}, with the same names in all
                workers.

        Returns:
            {name: (mean, weight)} over all of them.
        """
        if self.size == 1:
            return reports
        weights = np.array([weight for _, weight in reports.values()], dtype=np.float64)
        values = np.array([value for value, _ in reports.values()], dtype=np.float64)
        # A shard without samples has no mean: whatever value stands there, NaN too, is left out.
        sums = self._sum(np.concatenate([np.where(weights > 0, values, 0) * weights, weights]))
        totals, counts = np.split(sums, 2)
        return {name: (total / n, n) for name, total, n in zip(reports, totals, counts)}

    def any(self, flag: bool) -> bool:
        """Whether any worker says True."""
        return bool(flag) if self.size == 1 else bool(self._sum(np.array([float(flag)]))[0])

    def wait(self) -> None:
        """Waits, without using a core, until every worker waits here."""
        if self.size > 1:
            request = self._communicator.mpi_comm.Ibarrier()
            while not request.Test():
                time.sleep(_POLL_S)

    def abort(self, status: int) -> None:
        """Ends all workers; returns if there is only this one."""
        if self.size > 1:
            self._communicator.mpi_comm.Abort(status)

    def _sum(self, numbers):
        """The sum of a float64 array over all workers."""
        total = np.empty_like(numbers)
        self._communicator.mpi_comm.Allreduce(numbers, total)  # MPI's default is the sum
        return total


def statistics_of(link) -> dict:
    """{name: array} of the running statistics in a link: all that it keeps beside parameters, but for whole numbers."""
    kept = {
        f"{name}/{key}": getattr(child, key)
        for name, child in sorted(link.namedlinks())
        for key in sorted(child._persistent)
    }
    return {name: value for name, value in kept.items() if getattr(value, "ndim", 0) > 0 and value.dtype.kind == "f"}


def get_workers(on_gpu: bool = False) -> Workers:
    """The workers that mpiexec started; only this one, where it was not started so.

    Args:
        on_gpu: the network is on GPUs: gradients are averaged by NCCL.

    Raises:
        DeviceError: mpiexec was used, but mpi4py, or NCCL for GPUs, is not there.
    """
    if not any(name in os.environ for name in LAUNCHER_VARIABLES):
        return Workers()
    try:
        import chainermn

        return Workers(chainermn.create_communicator("pure_nccl" if on_gpu else "naive"))
    except (ImportError, RuntimeError) as error:
        nccl = f"; NCCL: pip install {nccl_package()}" if on_gpu else ""
        raise DeviceError(
            f"several workers: expected mpi4py{' and CuPy with NCCL' if on_gpu else ''}, got: {error}; "
            f"the extra mpi brings mpi4py and mpiexec{nccl}"
        ) from error

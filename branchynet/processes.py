"""What one of several training processes is to know of the others; they speak through ChainerMN, over MPI.

Data-parallel training (Akiba et al., arXiv 1710.11351): every process has the whole network and takes its share of each
batch; gradients are averaged, so that all take the same step, the one that a single process would take. Without
`mpiexec` there is one process, and neither MPI nor ChainerMN is imported.
"""

from __future__ import annotations

import os
import time
import typing

import numpy as np

from branchynet.errors import DeviceError

# Set by the launchers for the processes that they start: Open MPI, MPICH and Intel MPI, Slurm's PMIx.
LAUNCHER_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK")
_POLL_S = 0.2


class Share(typing.NamedTuple):
    """The part of a batch that a process works on.

    Attributes:
        start, stop: its rows; at least one, or there would be no gradient to average.
        n_samples: of the whole batch.
        weight: what the mean over its rows counts for in the mean over processes; 0 if the row is another one's.
    """

    start: int
    stop: int
    n_samples: int
    weight: float

    @property
    def rows(self) -> slice:
        """The rows as a slice."""
        return slice(self.start, self.stop)


class Processes:
    """The processes that train one network together.

    Args:
        communicator: of ChainerMN; None for a single process.

    Attributes:
        rank: number of this process; the first, 0, writes the files.
        size: how many there are.
        on_this_machine: how many of them share its cores.
        rank_on_this_machine: number of this process among those.
    """

    def __init__(self, communicator=None):
        self._communicator = communicator
        self.rank = 0 if communicator is None else communicator.rank
        self.size = 1 if communicator is None else communicator.size
        self.on_this_machine = 1 if communicator is None else communicator.intra_size
        self.rank_on_this_machine = 0 if communicator is None else communicator.intra_rank

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def share(self, n_samples: int) -> Share:
        """The share of this process in a batch; those of all processes are equal to within one row.

        Args:
            n_samples: of the batch, at least 1.
        """
        start, stop = (n_samples * rank // self.size for rank in (self.rank, self.rank + 1))
        weight = (stop - start) * self.size / n_samples
        return Share(start, stop, n_samples, weight) if stop > start else Share(0, 1, n_samples, 0.0)

    def send_first_weights(self, net) -> None:
        """Gives all processes the parameters of the first."""
        if self.size > 1:
            self._communicator.bcast_data(net)

    def mean_gradients(self, link) -> None:
        """Replaces the gradients of all parameters of a link by their means over the processes."""
        if self.size > 1:
            for param in link.params():
                # Of an array in another order ChainerMN averages a copy, and loses it.
                if param.grad is not None and not param.grad.flags.c_contiguous:
                    param.grad = param.xp.ascontiguousarray(param.grad)
            self._communicator.multi_node_mean_grad(link)

    def mean_statistics(self, link) -> None:
        """Replaces the running statistics of batch normalisation in a link by their means over the processes."""
        if self.size > 1:
            from chainermn.extensions import AllreducePersistent

            AllreducePersistent(link, self._communicator)()

    def mean(self, reports: dict) -> dict:
        """Means over all samples of all processes.

        Args:
            reports: {name: (mean over this process's samples, weight: how many they are)}, with the same names in all
                processes.

        Returns:
            {name: (mean, weight)} over all of them.
        """
        if self.size == 1:
            return reports
        weights = np.array([weight for _, weight in reports.values()], dtype=np.float64)
        values = np.array([value for value, _ in reports.values()], dtype=np.float64)
        # What counts for nothing may be anything, NaN too.
        sums = self._sum(np.concatenate([np.where(weights > 0, values, 0) * weights, weights]))
        totals, counts = np.split(sums, 2)
        return {name: (total / n, n) for name, total, n in zip(reports, totals, counts)}

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return bool(flag) if self.size == 1 else bool(self._sum(np.array([float(flag)]))[0])

    def wait(self) -> None:
        """Waits, without using a core, until every process waits here."""
        if self.size > 1:
            request = self._communicator.mpi_comm.Ibarrier()
            while not request.Test():
                time.sleep(_POLL_S)

    def abort(self, status: int) -> None:
        """Ends all processes; returns if there is only this one."""
        if self.size > 1:
            self._communicator.mpi_comm.Abort(status)

    def _sum(self, numbers):
        """The sum of a float64 array over all processes."""
        from mpi4py import MPI

        total = np.empty_like(numbers)
        self._communicator.mpi_comm.Allreduce(numbers, total, MPI.SUM)
        return total


def started_by_mpi() -> bool:
    """Whether a launcher such as mpiexec started this process."""
    return any(name in os.environ for name in LAUNCHER_VARIABLES)


def get_processes(on_gpu: bool = False) -> Processes:
    """The processes that mpiexec started; only this one, where it was not started so.

    Args:
        on_gpu: the network is on GPUs: gradients are averaged by NCCL.

    Raises:
        DeviceError: mpiexec was used, but mpi4py, or NCCL for GPUs, is not there.
    """
    if not started_by_mpi():
        return Processes()
    try:
        import chainermn

        return Processes(chainermn.create_communicator("pure_nccl" if on_gpu else "naive"))
    except (ImportError, RuntimeError) as error:
        raise DeviceError(
            f"several processes: expected mpi4py{' and CuPy with NCCL' if on_gpu else ''}, got: {error}; "
            "the extra mpi brings mpi4py and mpiexec"
        ) from error

"""How many threads compute: those of the fast CPU functions, and those of BLAS.

NumPy releases the interpreter lock in copies, element-wise functions and matrix products, so plain Python threads can
share a batch between the cores. BLAS is then held to one thread, or its threads and ours would compete for the cores.
By default one thread computes here and BLAS is left as it is; training and benchmarks change that while they run.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import threadpoolctl

# A batch is cut into this many strips, whatever the number of threads: partial sums are then added up in the same
# order, and results do not depend on the number of threads.
N_STRIPS = 8


class _Pools:
    """The threads of this process. A pool stays, with the buffers of its threads, for the next time."""

    def __init__(self):
        self.n_threads = 1
        self.pools = {}

    @property
    def pool(self):
        """The threads to share work out to; None to compute in the caller's thread."""
        if self.n_threads == 1:
            return None
        if self.n_threads not in self.pools:
            cores = itertools.cycle(_core_numbers()[1:] or _core_numbers())
            self.pools[self.n_threads] = ThreadPoolExecutor(
                self.n_threads - 1, "branchynet", initializer=lambda: _bind_to(next(cores))
            )
        return self.pools[self.n_threads]

    def forget(self):
        """Drops all pools: after a fork the child has the objects but none of their threads."""
        self.pools = {}


_pools = _Pools()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.forget)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(_core_numbers())


def get_threads() -> int:
    """Threads that the fast CPU functions share a batch out to."""
    return _pools.n_threads


@contextlib.contextmanager
def limited(n_threads: int):
    """Computes with `n_threads` threads, and one for BLAS in each, while the block runs.

    Args:
        n_threads: at least 1.

    Raises:
        ValueError: fewer than 1.
    """
    if n_threads < 1:
        raise ValueError(f"threads: expected at least 1, got {n_threads}")
    previous = _pools.n_threads
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        _pools.n_threads = n_threads
        try:
            yield
        finally:
            _pools.n_threads = previous


def _core_numbers():
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _bind_to(core):
    """Keeps this thread on one core, as OMP_PROC_BIND does: some schedulers leave all threads of a process on one."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(threading.get_native_id(), {core})


def strip_bounds(n_samples: int) -> list:
    """Where the strips of a batch begin, and where the last one ends."""
    n_strips = min(N_STRIPS, n_samples)
    return [n_samples * strip // n_strips for strip in range(n_strips + 1)] if n_strips else [0]


def map_strips(function, n_samples: int) -> list:
    """Calls ``function(start, stop)`` for the strips of a batch, shared out to the threads.

    Args:
        function: works on the samples [start, stop); must not call `map_strips` itself.
        n_samples: of the batch.

    Returns:
        the results in the order of the strips.
    """
    bounds = strip_bounds(n_samples)
    strips, n_strips = list(zip(bounds[:-1], bounds[1:])), len(bounds) - 1
    pool = _pools.pool
    if pool is None or n_strips < 2:
        return [function(start, stop) for start, stop in strips]
    # Every thread takes strips until none is left: a core that something else slows down takes fewer.
    results, numbers = [None] * n_strips, iter(range(n_strips))  # next() of it is atomic

    def take_strips():
        for number in numbers:
            results[number] = function(*strips[number])

    helpers = [pool.submit(take_strips) for _ in range(min(_pools.n_threads, n_strips) - 1)]
    try:
        take_strips()
    finally:
        wait(helpers)
    for helper in helpers:
        helper.result()  # raises what a strip raised
    return results

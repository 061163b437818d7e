"""How many threads compute: those of the kernels of training, and those of BLAS.

The kernels share a batch out to threads of their own. BLAS is then held to one thread, or its threads and ours would
compete for the cores. By default one thread computes here and BLAS is left as it is; training and benchmarks change
that while they run.
"""

import contextlib
import os

import threadpoolctl

_n_threads = 1


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_threads() -> int:
    """Threads that the kernels share a batch out to."""
    return _n_threads


@contextlib.contextmanager
def limited(n_threads: int):
    """Computes with `n_threads` threads, and one for BLAS in each, while the block runs: the whole process does, so two
    threads should not have blocks of their own at a time.

    Args:
        n_threads: at least 1.

    Raises:
        ValueError: fewer than 1.
    """
    global _n_threads
    if n_threads < 1:
        raise ValueError(f"threads: expected at least 1, got {n_threads}")
    previous = _n_threads
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        _n_threads = n_threads
        try:
            yield
        finally:
            _n_threads = previous

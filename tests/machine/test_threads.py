"""How many threads compute, and where a batch is cut."""

import pytest
import threadpoolctl

from branchynet.machine import threads


@pytest.mark.parametrize("n_samples", [0, 1, 3, 8, 37, 100])
def test_strips_cover_every_sample_once_and_none_is_empty(n_samples):
    bounds = threads.strip_bounds(n_samples)
    assert bounds[0] == 0 and bounds[-1] == n_samples and len(bounds) == min(8, n_samples) + 1
    assert all(start < stop for start, stop in zip(bounds, bounds[1:]))


def test_the_number_of_threads_holds_for_the_block_and_blas_has_one():
    before = threads.get_threads()
    with threads.limited(2):
        assert threads.get_threads() == 2
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"} == {1}
    assert threads.get_threads() == before


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"), threads.limited(0):
        pass

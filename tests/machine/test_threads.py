"""How many threads compute."""

import pytest
import threadpoolctl

from branchynet.machine import threads


def test_the_number_of_threads_holds_for_the_block_and_blas_has_one():
    before = threads.get_threads()
    with threads.limited(2):
        assert threads.get_threads() == 2
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"} == {1}
    assert threads.get_threads() == before


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"), threads.limited(0):
        pass

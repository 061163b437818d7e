"""Sharing a batch out to threads."""

import multiprocessing

import pytest
import threadpoolctl

from branchynet.machine import threads


def bounds(n_samples):
    return threads.map_strips(lambda start, stop: (start, stop), n_samples)


@pytest.mark.parametrize("n_samples", [0, 1, 3, 8, 37, 100])
def test_strips_cover_every_sample_once_in_order_whatever_the_number_of_threads(n_samples):
    with threads.limited(1):
        strips = bounds(n_samples)
    assert [sample for start, stop in strips for sample in range(start, stop)] == list(range(n_samples))
    for n_threads in (2, 3):
        with threads.limited(n_threads):
            assert bounds(n_samples) == strips


def test_the_number_of_threads_holds_for_the_block_and_blas_has_one():
    before = threads.get_threads()
    with threads.limited(2):
        assert threads.get_threads() == 2
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"} == {1}
    assert threads.get_threads() == before


def test_an_error_in_a_thread_is_the_callers():
    def fail(start, stop):
        raise RuntimeError("here")

    with threads.limited(2), pytest.raises(RuntimeError, match="here"):
        threads.map_strips(fail, 8)


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"), threads.limited(0):
        pass


def _strips_in_a_child(connection):
    connection.send(bounds(80))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
def test_threads_work_in_a_forked_child():
    context = multiprocessing.get_context("fork")
    with threads.limited(2):
        expected = bounds(80)
        ours, theirs = context.Pipe()
        child = context.Process(target=_strips_in_a_child, args=(theirs,))
        child.start()
        assert ours.poll(30), "the child hangs"
        assert ours.recv() == expected
        child.join()

"""The cache: whole or absent, checked at each reading, and safe when two processes need it at once."""

import multiprocessing

import numpy as np
import pytest

from branchynet.datasets import cache
from branchynet.datasets.loading import load_arrays
from branchynet.errors import DataError

from . import tiny


@pytest.fixture
def arrays():
    return tiny.make_arrays()


@pytest.fixture
def works(arrays, tmp_path):
    return tiny.Works(arrays, tmp_path / "calls")


@pytest.fixture
def cached(arrays, works, tmp_path):
    """A spec whose data set is in the cache, the cache's folder, and its file."""
    spec, folder = tiny.make_spec(arrays, [works]), tmp_path / "cache"
    load_arrays(spec, folder)
    return spec, folder, cache.cache_file(spec, folder)


def test_what_is_stored_is_read_back_with_its_source(cached, arrays):
    spec, folder, _ = cached
    stored, source = cache.read(spec, folder)
    assert stored.keys() == arrays.keys()
    for key in arrays:
        np.testing.assert_array_equal(stored[key], arrays[key])
    assert source == "a source that works"


def test_an_empty_folder_caches_nothing(tmp_path, arrays):
    assert cache.read(tiny.make_spec(arrays), tmp_path) is None


def test_the_cached_file_holds_no_pickle(cached):
    _, _, path = cached
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[key].dtype.kind in "uU" for key in archive.files)


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path):
    path.write_bytes(b"")


def _change_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 0xFF
    path.write_bytes(data)


def _whole_archive_of_other_arrays(path):
    np.savez(path, source=np.array("elsewhere"), **tiny.make_arrays(seed=9))


def _whole_archive_without_labels(path):
    np.savez(path, source=np.array("elsewhere"), train_images=tiny.make_arrays()["train_images"])


def _single_array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3, np.uint8))


def _labels_as_floats(path):
    arrays = tiny.make_arrays()
    np.savez(path, source=np.array("elsewhere"), **{**arrays, "test_labels": arrays["test_labels"].astype(np.float32)})


DAMAGES = [
    _cut,
    _empty,
    _change_a_byte,
    _whole_archive_of_other_arrays,
    _whole_archive_without_labels,
    _labels_as_floats,
    _single_array,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_detected_and_fetched_anew(cached, arrays, works, damage, capsys):
    spec, folder, path = cached
    damage(path)
    with pytest.raises(DataError, match=str(path)):
        cache.read(spec, folder)
    loaded, source = load_arrays(spec, folder)
    for key in arrays:
        np.testing.assert_array_equal(loaded[key], arrays[key])
    assert source == works.title
    assert works.n_calls() == 2
    assert f"{path}" in capsys.readouterr().err
    assert cache.read(spec, folder) is not None


def test_a_damaged_cache_is_a_reason_if_no_source_works(cached, arrays):
    _, folder, path = cached
    _cut(path)
    with pytest.raises(DataError, match=f"{path}: cannot be read(.|\n)*page A: not today"):
        load_arrays(tiny.make_spec(arrays, [tiny.Fails("page A")]), folder)


def test_what_a_killed_process_left_behind_is_cleared(tmp_path, arrays, works):
    spec = tiny.make_spec(arrays, [works])
    left = cache.workshop(spec, tmp_path)
    left.mkdir()
    (left / "arrays.npz").write_bytes(b"half")
    load_arrays(spec, tmp_path)
    assert not left.exists()


def test_a_failed_write_keeps_what_was_there(cached, arrays, monkeypatch):
    spec, folder, path = cached
    before = path.read_bytes()

    def replace(*_):
        raise OSError("interrupted")

    with cache.locked(spec, folder), monkeypatch.context() as patch:
        patch.setattr(cache.os, "replace", replace)
        with pytest.raises(OSError, match="interrupted"):
            cache.write(spec, folder, arrays, "another source")
    assert path.read_bytes() == before


def test_the_lock_is_free_again_after_an_error(tmp_path, arrays):
    spec = tiny.make_spec(arrays)
    for _ in range(2):
        with pytest.raises(KeyError), cache.locked(spec, tmp_path):
            raise KeyError


def _load_when_all_are_ready(barrier, spec, folder, results):
    barrier.wait(60)
    loaded, source = load_arrays(spec, folder)
    results.put((source, {key: array.tobytes() for key, array in loaded.items()}))


def test_processes_that_load_at_once_fetch_once_and_all_get_the_data(tmp_path, arrays, works):
    n_processes = 3
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n_processes), context.Queue()
    target_arguments = (barrier, tiny.make_spec(arrays, [works]), tmp_path / "cache", results)
    processes = [context.Process(target=_load_when_all_are_ready, args=target_arguments) for _ in range(n_processes)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * n_processes
    assert works.n_calls() == 1
    expected = {key: array.tobytes() for key, array in arrays.items()}
    assert all(loaded == expected for _, loaded in outcomes)
    assert sorted(source.startswith("cache ") for source, _ in outcomes) == [False] + [True] * (n_processes - 1)

"""The cache: whole or absent, verified at each reading, and safe when two processes need it at once."""

import io
import multiprocessing
import os
import signal

import numpy as np
import pytest
from attacks.kills import killed_after

from branchynet.datasets import cache
from branchynet.datasets.loading import load_spec
from branchynet.errors import DataError

from . import tiny


@pytest.fixture
def cached(arrays, works, tmp_path):
    """A spec whose data set is in the cache, the cache's folder, and its file."""
    spec, folder = tiny.make_spec(arrays, [works]), tmp_path / "cache"
    load_spec(spec, folder)
    return spec, folder, cache.cache_file(spec, folder)


def test_what_is_stored_is_read_back_with_its_source(cached, arrays):
    spec, folder, path = cached
    stored, where = cache.read(spec, folder)
    assert stored.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(stored[key], array)
    assert where == f"cache {path} (from a source that works)"


@pytest.mark.parametrize("instead", [None, os.mkdir, pytest.param(getattr(os, "mkfifo", None), id="mkfifo")])
def test_a_folder_without_the_file_caches_nothing(tmp_path, arrays, instead):
    spec = tiny.make_spec(arrays)
    if instead:
        instead(cache.cache_file(spec, tmp_path))
    assert cache.read(spec, tmp_path) is None


def test_the_cached_file_holds_no_pickle(cached):
    with np.load(cached[2], allow_pickle=False) as archive:
        assert {archive[key].dtype.kind for key in archive.files} == {"u", "U"}


def saved(save, *arrays, **named_arrays):
    """The bytes that a function of NumPy writes."""
    buffer = io.BytesIO()
    save(buffer, *arrays, **named_arrays)
    return buffer.getvalue()


ARRAYS = {**tiny.make_arrays(), "source": np.array("elsewhere")}
FLOATS = ARRAYS["test_labels"].astype(np.float32)
# What may have become of the bytes of the cached file.
DAMAGES = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "emptied": lambda whole: b"",
    "a part changed": lambda whole: whole[: len(whole) // 4] + b"changed" + whole[len(whole) // 4 + 7 :],
    "other arrays": lambda whole: saved(np.savez, **{**ARRAYS, **tiny.make_arrays(seed=9)}),
    "without labels": lambda whole: saved(np.savez, source=ARRAYS["source"], train_images=ARRAYS["train_images"]),
    "labels as floats": lambda whole: saved(np.savez, **{**ARRAYS, "test_labels": FLOATS}),
    "a single array": lambda whole: saved(np.save, np.zeros(3, np.uint8)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_detected_and_fetched_anew(cached, arrays, works, damage, capsys):
    spec, folder, path = cached
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(DataError, match=str(path)):
        cache.read(spec, folder)
    dataset = load_spec(spec, folder)
    tiny.assert_is(dataset, arrays)
    assert dataset.source == works.title
    assert works.n_calls == 2
    assert f"{path}" in capsys.readouterr().err
    assert cache.read(spec, folder) is not None


def test_a_damaged_cache_is_a_reason_if_no_source_works(cached, arrays):
    _, folder, path = cached
    path.write_bytes(b"")
    with pytest.raises(DataError, match=f"{path}: cannot be read(.|\n)*page A: not today"):
        load_spec(tiny.make_spec(arrays, [tiny.Brings("page A")]), folder)


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


def load_when_all_are_ready(barrier, spec, folder, results):
    barrier.wait(60)
    dataset = load_spec(spec, folder)
    results.put((dataset.source, [array.tolist() for array in (dataset.train.images, dataset.test.labels)]))


def test_processes_that_load_at_once_fetch_once_and_all_get_the_data(tmp_path, arrays, works):
    n_processes = 3
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n_processes), context.Queue()
    arguments = (barrier, tiny.make_spec(arrays, [works]), tmp_path / "cache", results)
    processes = [context.Process(target=load_when_all_are_ready, args=arguments) for _ in range(n_processes)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * n_processes
    assert works.n_calls == 1
    expected = [arrays[name].tolist() for name in ("train_images", "test_labels")]
    assert [loaded for _, loaded in outcomes] == [expected] * n_processes
    assert sorted(source.startswith("cache ") for source, _ in outcomes) == [False] + [True] * (n_processes - 1)


def fetched_and_killed(spec, folder, number):
    """The exit status of a process that fetches, and is really killed before operation `number` on files."""
    child = os.fork()
    if child == 0:
        with killed_after(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            load_spec(spec, folder)
        os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process")
def test_a_fetch_that_is_killed_at_any_operation_on_files_is_made_again(tmp_path, arrays, works, capfd):
    spec, number, status = tiny.make_spec(arrays, [works]), 0, signal.SIGKILL
    while status == signal.SIGKILL:
        folder = tmp_path / f"killed-{number}"
        status = fetched_and_killed(spec, folder, number)
        tiny.assert_is(load_spec(spec, folder), arrays)
        left = [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]
        assert left == [cache.cache_file(spec, folder).name], "the workshop of the killed process is gone"
        number += 1
    assert status == 0 and number > 5

"""The order of sources, what is said when none works, and that no wrong array ever comes out."""

import errno
import os

import numpy as np
import pytest

from branchynet.datasets import cache, loading
from branchynet.datasets.loading import load_arrays
from branchynet.errors import DataError

from . import tiny


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path, monkeypatch):
    """No test sees, or writes to, the data sets of whoever runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv(cache.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(loading, "_other_folders", lambda: [tmp_path / "other library"])


@pytest.fixture
def arrays():
    return tiny.make_arrays()


@pytest.fixture
def works(arrays, tmp_path):
    return tiny.Works(arrays, tmp_path / "calls")


def _assert_equal(loaded, arrays):
    for key, array in arrays.items():
        np.testing.assert_array_equal(loaded[key], array)
        assert loaded[key].dtype == np.uint8


def test_one_download_ever(tmp_path, arrays, works):
    spec = tiny.make_spec(arrays, [works])
    loaded, first_source = load_arrays(spec, tmp_path / "data")
    again, second_source = load_arrays(spec, tmp_path / "data")
    _assert_equal(loaded, arrays)
    _assert_equal(again, arrays)
    assert works.n_calls() == 1
    assert first_source == works.title
    assert second_source == f"cache {tmp_path / 'data' / 'branchynet-tiny.npz'} (from {works.title})"


def test_sources_are_tried_in_order_until_one_works(tmp_path, arrays, works):
    first, last = tiny.Fails("first"), tiny.Fails("last")
    loaded, source = load_arrays(tiny.make_spec(arrays, [first, works, last]), tmp_path)
    _assert_equal(loaded, arrays)
    assert source == works.title
    assert (first.n_calls, works.n_calls(), last.n_calls) == (1, 1, 0)


def test_if_none_works_the_message_says_what_was_tried_and_what_to_do(tmp_path, arrays):
    sources = [tiny.Fails("page A", DataError("no route")), tiny.Fails("package B", OSError("timed out"))]
    with pytest.raises(DataError) as caught:
        load_arrays(tiny.make_spec(arrays, sources), tmp_path)
    message = str(caught.value)
    tried = [f"{tmp_path}: holds no tiny", "page A: no route", "package B: timed out"]
    assert sorted(tried, key=message.index) == tried  # all there, in this order
    for advice in ("the four idx files", "--data-dir", "BRANCHYNET_DATA"):
        assert advice in message


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda into, arrays: tiny.write_idx(into, tiny.make_arrays(seed=9)), "sha256"),
        (lambda into, arrays: tiny.write_idx(into, tiny.make_arrays(n_test=3)), "expected an idx file of shape"),
        (lambda into, arrays: (into / "index.html").write_text("please log in"), "brought none of the layouts"),
        (lambda into, arrays: None, "brought none of the layouts"),
    ],
)
def test_a_source_that_brings_something_else_is_passed_over(tmp_path, arrays, works, damage, reason):
    wrong = tiny.Brings("a wrong source", lambda into: damage(into, arrays))
    loaded, source = load_arrays(tiny.make_spec(arrays, [wrong, works]), tmp_path / "a")
    _assert_equal(loaded, arrays)
    assert source == works.title
    with pytest.raises(DataError, match=f"a wrong source: .*{reason}"):
        load_arrays(tiny.make_spec(arrays, [wrong]), tmp_path / "b")
    assert not cache.cache_file(tiny.make_spec(arrays), tmp_path / "b").exists()


def test_only_the_cached_file_and_the_lock_are_left_in_the_folder(tmp_path, arrays, works):
    load_arrays(tiny.make_spec(arrays, [tiny.Fails("first"), works]), tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"branchynet-tiny.npz", ".branchynet-tiny.lock"}


def test_which_folder_is_used(tmp_path, arrays, works, monkeypatch):
    spec = tiny.make_spec(arrays, [works])
    load_arrays(spec)
    assert cache.cache_file(spec, tmp_path / "xdg" / "branchynet").is_file()
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "named"))
    load_arrays(spec)
    assert cache.cache_file(spec, tmp_path / "named").is_file()
    load_arrays(spec, tmp_path / "argument")
    assert cache.cache_file(spec, tmp_path / "argument").is_file()


@pytest.mark.parametrize("base", [None, "", "relative"])
def test_without_a_valid_xdg_folder_the_cache_is_in_home(monkeypatch, tmp_path, base):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME") if base is None else monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert cache.default_folder() == tmp_path / ".cache" / "branchynet"


def test_a_tilde_in_the_folder_is_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.chosen_folder("~/data") == tmp_path / "data"


def test_other_libraries_folders_are_used_before_a_download(tmp_path, arrays, works):
    tiny.write_chainer_mnist(tmp_path / "other library" / "pfnet" / "chainer" / "tiny", arrays)
    loaded, source = load_arrays(tiny.make_spec(arrays, [works]))
    _assert_equal(loaded, arrays)
    assert source.startswith("Chainer's cache in")
    assert works.n_calls() == 0


def test_other_libraries_folders_are_left_alone_if_a_folder_is_named(tmp_path, arrays, works):
    tiny.write_idx(tmp_path / "other library", arrays)
    _, source = load_arrays(tiny.make_spec(arrays, [works]), tmp_path / "data")
    assert source == works.title


def test_a_damaged_file_of_another_library_is_passed_over(tmp_path, arrays, works):
    tiny.write_idx(tmp_path / "other library", tiny.make_arrays(seed=9))
    loaded, source = load_arrays(tiny.make_spec(arrays, [works]))
    _assert_equal(loaded, arrays)
    assert source == works.title


def test_a_file_where_a_folder_is_expected(tmp_path, arrays, works):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder, got a file"):
        load_arrays(tiny.make_spec(arrays, [works]), tmp_path / "file")


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_fetched(tmp_path, arrays, works):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"{tmp_path / 'file' / 'data'}: cannot be written to"):
        load_arrays(tiny.make_spec(arrays, [works]), tmp_path / "file" / "data")
    assert works.n_calls() == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named_before_anything_is_fetched(tmp_path, arrays, works):
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(DataError, match=f"{tmp_path / 'data'}: cannot be written to"):
        load_arrays(tiny.make_spec(arrays, [works]), tmp_path / "data")
    assert works.n_calls() == 0


def test_a_full_disk_while_fetching_stops_at_once(tmp_path, arrays, works):
    full = tiny.Fails("first", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(DataError, match=f"{tmp_path}: the disk is full"):
        load_arrays(tiny.make_spec(arrays, [full, works]), tmp_path)
    assert works.n_calls() == 0


@pytest.mark.parametrize("number, reason", [(errno.ENOSPC, "the disk is full"), (errno.EIO, "cannot be written")])
def test_a_cache_that_cannot_be_stored_is_an_error_and_leaves_nothing(
    tmp_path, arrays, works, monkeypatch, number, reason
):
    def savez(path, **_):
        path.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache.np, "savez", savez)
    with pytest.raises(DataError, match=reason):
        load_arrays(tiny.make_spec(arrays, [works]), tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {".branchynet-tiny.lock"}

"""`load` and the command: the order of sources, what is said when none works, and that no wrong array comes out."""

import errno
import os
import re

import pytest

from branchynet import datasets
from branchynet.datasets import cache
from branchynet.datasets.__main__ import main
from branchynet.datasets.loading import load_spec
from branchynet.datasets.specs import SPECS
from branchynet.errors import DataError

from . import tiny


@pytest.fixture
def known(monkeypatch, arrays, works):
    """`load("tiny")` works, from a source that is not on any network; the arrays."""
    monkeypatch.setitem(SPECS, "tiny", tiny.make_spec(arrays, [works]))
    return arrays


def test_load_gives_the_published_arrays_read_only(known, tmp_path):
    dataset = datasets.load("tiny", tmp_path / "data")
    tiny.assert_is(dataset, known)
    assert (dataset.name, dataset.class_names) == ("tiny", tuple("0123456789"))
    for array in (dataset.train.images, dataset.train.labels, dataset.test[:2].images, dataset.split(3).train.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("name", ["MNIST", "cifar100", ""])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(DataError, match=f"expected one of mnist, fashion-mnist, cifar10; got {name!r}"):
        datasets.load(name)


def test_the_command_says_where_the_data_came_from_and_what_they_are(known, tmp_path, capsys):
    assert main(["tiny", "--data-dir", str(tmp_path / "data")]) == 0
    output = capsys.readouterr().out
    assert "tiny: a source that works" in output
    assert f"test images (4, 1, 3, 2) uint8 sha256 {SPECS['tiny'].sha256['test_images']}" in output
    assert f"train labels (10,) int32 sha256 {SPECS['tiny'].sha256['train_labels']}" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifar100"], "data set: expected one of mnist"),
        (["tiny", "--data-dir", "~nosuchuser/data"], "~nosuchuser/data: cannot be used as a folder"),
        (["tiny", "--data-dir", "a" * 300], "a: cannot be used as a folder for data: .*too long"),
        (["tiny", "--data-dir", os.devnull], "expected a folder, got a file"),
    ],
)
def test_the_command_ends_with_status_2_and_the_message(known, works, capsys, arguments, message):
    assert main(arguments) == 2
    assert re.match(f"branchynet.datasets: error: .*{message}", capsys.readouterr().err)
    assert works.n_calls == 0


def test_one_download_ever(tmp_path, arrays, works):
    spec = tiny.make_spec(arrays, [works])
    first, second = load_spec(spec, tmp_path / "data"), load_spec(spec, tmp_path / "data")
    tiny.assert_is(first, arrays)
    tiny.assert_is(second, arrays)
    assert works.n_calls == 1
    assert first.source == works.title
    assert second.source == f"cache {tmp_path / 'data' / 'branchynet-tiny.npz'} (from {works.title})"


def test_sources_are_tried_in_order_until_one_works(tmp_path, arrays, works):
    first, last = tiny.Brings("first"), tiny.Brings("last")
    dataset = load_spec(tiny.make_spec(arrays, [first, works, last]), tmp_path)
    tiny.assert_is(dataset, arrays)
    assert dataset.source == works.title
    assert (first.n_calls, works.n_calls, last.n_calls) == (1, 1, 0)


def test_if_none_works_the_message_says_what_was_tried_and_what_to_do(tmp_path, arrays):
    sources = [tiny.Brings("page A", error=DataError("no route")), tiny.Brings("package B", error=OSError("timed out"))]
    with pytest.raises(DataError) as caught:
        load_spec(tiny.make_spec(arrays, sources), tmp_path)
    message = str(caught.value)
    tried = [f"{tmp_path}: holds no tiny", "page A: no route", "package B: timed out"]
    assert sorted(tried, key=message.index) == tried  # all there, in this order
    assert [advice in message for advice in ("the four idx files", "--data-dir", "BRANCHYNET_DATA")] == [True] * 3


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda into: tiny.write_idx(into, tiny.make_arrays(seed=9)), "sha256"),
        (lambda into: tiny.write_idx(into, tiny.make_arrays(n_test=3)), "expected an idx file of shape"),
        (lambda into: (into / "index.html").write_text("please log in"), "brought none of the layouts"),
        (lambda into: None, "brought none of the layouts"),
    ],
)
def test_a_source_that_brings_something_else_is_passed_over(tmp_path, arrays, works, write, reason):
    wrong = tiny.Brings("a wrong source", write)
    dataset = load_spec(tiny.make_spec(arrays, [wrong, works]), tmp_path / "a")
    tiny.assert_is(dataset, arrays)
    assert dataset.source == works.title
    with pytest.raises(DataError, match=f"a wrong source: .*{reason}"):
        load_spec(tiny.make_spec(arrays, [wrong]), tmp_path / "b")
    assert not cache.cache_file(tiny.make_spec(arrays), tmp_path / "b").exists()


def test_only_the_cached_file_and_the_lock_are_left_in_the_folder(tmp_path, arrays, works):
    load_spec(tiny.make_spec(arrays, [tiny.Brings("first"), works]), tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"branchynet-tiny.npz", ".branchynet-tiny.lock"}


def test_which_folder_is_used(tmp_path, arrays, works, monkeypatch):
    spec = tiny.make_spec(arrays, [works])
    load_spec(spec)
    assert cache.cache_file(spec, tmp_path / "xdg" / "branchynet").is_file()
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "named"))
    load_spec(spec)
    assert cache.cache_file(spec, tmp_path / "named").is_file()
    load_spec(spec, tmp_path / "argument")
    assert cache.cache_file(spec, tmp_path / "argument").is_file()


@pytest.mark.parametrize("base", [None, "", "relative"])
def test_without_a_valid_xdg_folder_the_cache_is_in_home(monkeypatch, tmp_path, base):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME") if base is None else monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert cache.folder_for() == (tmp_path / ".cache" / "branchynet", False)
    assert cache.folder_for("~/data") == (tmp_path / "data", True)


@pytest.mark.parametrize(
    ("write", "subfolder", "source"),
    [
        (tiny.write_chainer_mnist, "other library/pfnet/chainer/tiny", "Chainer's cache in"),
        (tiny.write_idx, "system/tiny", "idx files in"),
    ],
)
def test_other_folders_are_used_before_a_download_unless_one_is_named(
    tmp_path, arrays, works, write, subfolder, source
):
    write(tmp_path / subfolder, arrays)
    spec = tiny.make_spec(arrays, [works])
    dataset = load_spec(spec)
    tiny.assert_is(dataset, arrays)
    assert dataset.source.startswith(source)
    assert works.n_calls == 0
    assert load_spec(spec, tmp_path / "data").source == works.title


def test_a_damaged_file_of_another_library_is_passed_over_and_told(tmp_path, arrays, works):
    tiny.write_idx(tmp_path / "other library", tiny.make_arrays(seed=9))
    with pytest.raises(DataError, match="other library: tiny: train_images: expected the sha256"):
        load_spec(tiny.make_spec(arrays))
    dataset = load_spec(tiny.make_spec(arrays, [works]))
    tiny.assert_is(dataset, arrays)
    assert dataset.source == works.title


NO_PROC = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder in which nobody can make a file")


@pytest.mark.parametrize("folder", ["file/data", pytest.param("/proc", marks=NO_PROC)])
def test_a_folder_that_cannot_be_made_or_filled_is_named_before_anything_is_fetched(tmp_path, arrays, works, folder):
    (tmp_path / "file").write_text("")
    folder = tmp_path / folder  # one that begins with / stays as it is
    with pytest.raises(DataError, match=f"^{folder}: cannot be written to"):
        load_spec(tiny.make_spec(arrays, [works]), folder)
    assert works.n_calls == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everywhere")
@pytest.mark.parametrize(("mode", "message"), [(0o500, "cannot be written to"), (0o000, "cannot be looked into")])
def test_a_forbidden_folder_is_named_before_anything_is_fetched(tmp_path, arrays, works, mode, message):
    (tmp_path / "data").mkdir(mode=mode)
    with pytest.raises(DataError, match=f"{tmp_path / 'data'}.*: {message}"):
        load_spec(tiny.make_spec(arrays, [works]), tmp_path / "data")
    assert works.n_calls == 0


def test_a_full_disk_while_fetching_stops_at_once(tmp_path, arrays, works):
    full = tiny.Brings("first", error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(DataError, match=f"{tmp_path}: the disk is full"):
        load_spec(tiny.make_spec(arrays, [full, works]), tmp_path)
    assert works.n_calls == 0


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "cannot be written")])
def test_a_cache_that_cannot_be_stored_is_an_error_and_leaves_nothing(
    tmp_path, arrays, works, monkeypatch, number, reason
):
    def savez(path, **_):
        path.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache.np, "savez", savez)
    with pytest.raises(DataError, match=reason):
        load_spec(tiny.make_spec(arrays, [works, tiny.Brings("never asked")]), tmp_path / "data")
    assert works.n_calls == 1
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {".branchynet-tiny.lock"}

"""A file is replaced whole or not at all, and one run at a time writes into a folder."""

import errno
import importlib
import os
import stat
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from branchynet import machine
from branchynet.errors import OutputError
from branchynet.machine import files
from branchynet.machine.files import check_space, locked, replacing


@pytest.fixture
def path(tmp_path):
    """A file that is there already."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_file_takes_the_place_of_the_old(path):
    with replacing(path, "w") as handle:
        handle.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and names(path.parent) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="files have other rights on this platform")
def test_all_may_read_the_new_file_and_its_owner_write_it(path):
    with replacing(path):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [ValueError("stop"), OSError(errno.ENOSPC, "No space left on device")])
def test_an_error_leaves_the_old_file_and_nothing_else(path, error):
    expected = OutputError if isinstance(error, OSError) else ValueError
    with pytest.raises(expected, match="stop|cannot write .*No space left"), replacing(path, "w") as handle:
        handle.write("half")
        raise error
    assert path.read_text() == "old" and names(path.parent) == ["a.txt"]


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(OutputError, match="cannot write"), replacing(tmp_path / "no" / "a.txt") as handle:
        handle.write(b"")


@pytest.mark.skipif(os.name != "posix", reason="folders cannot be opened on this platform")
def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_end(path, monkeypatch):
    events = []

    def fsync(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")

    replace = os.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("name") or replace(*paths))
    with replacing(path, "w") as handle:
        handle.write("new")
    assert events == ["content", "name", "folder"]


@pytest.mark.skipif(os.name != "posix", reason="there a file is left behind after a day")
def test_what_killed_runs_left_behind_is_removed_by_the_next_one_that_writes_the_file(path, monkeypatch):
    ages_s = {".a.txt.abcdefgh.tmp": 5.5, ".a.txt.12345678.tmp": 5, ".b.txt.abcdefgh.tmp": 60, ".a.txt.kept": 60}
    leave_behind(path.parent, ages_s, monkeypatch)
    with replacing(path, "w") as handle:
        handle.write("new")
    assert names(path.parent) == sorted(["a.txt", *list(ages_s)[1:]])


def leave_behind(folder, ages_s, monkeypatch):
    """Makes files of these ages, {name: seconds}, by a clock that stands still."""
    monkeypatch.setattr(time, "time", lambda: 1e9)
    for name, age_s in ages_s.items():
        (folder / name).write_text("half")
        os.utime(folder / name, (1e9 - age_s,) * 2)


def without_fcntl(monkeypatch):
    """The module as Windows imports it."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.delitem(sys.modules, files.__name__)
    monkeypatch.setattr(machine, "files", files)
    return importlib.import_module(files.__name__)


def without_locks(monkeypatch):
    """The module where the file system has no locks."""

    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    if files.fcntl is not None:
        monkeypatch.setattr(files.fcntl, "flock", flock)
    return files


@pytest.mark.parametrize("module", [without_fcntl, without_locks])
def test_without_locks_what_is_older_than_a_day_was_left_behind(path, module, monkeypatch):
    ages_s = {".a.txt.abcdefgh.tmp": 86_400.5, ".a.txt.12345678.tmp": 86_400}
    with monkeypatch.context() as patch:
        leave_behind(path.parent, ages_s, patch)
        with module(patch).replacing(path, "w") as handle:
            handle.write("new")
    assert names(path.parent) == [".a.txt.12345678.tmp", "a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="there a file is left behind after a day")
def test_the_temporary_file_of_another_writer_stays_however_old_it_is(path):
    with replacing(path, "w") as slow:
        (temporary,) = path.parent.glob(".a.txt.*.tmp")
        os.utime(temporary, (0, 0))
        with replacing(path, "w") as handle:
            handle.write("the other")
        slow.write("the last")
    assert path.read_text() == "the last" and names(path.parent) == ["a.txt"]


def test_a_folder_that_is_locked_is_refused_and_is_free_afterwards(tmp_path):
    folder = tmp_path / "made" / "here"
    with locked(folder):
        with pytest.raises(
            OutputError, match="expected a folder that no other run writes into, got one that is in use"
        ):
            locked(folder).__enter__()
        with locked(tmp_path):  # another folder
            pass
    assert names(folder) == []
    with locked(folder):
        pass


HOLD = """
import sys
from branchynet.machine.files import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    input()
"""


def test_a_killed_run_leaves_no_lock(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(OutputError, match="in use"):
            locked(tmp_path).__enter__()
        process.kill()
    with locked(tmp_path):
        pass
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_reported(path):
    with pytest.raises(OutputError, match="cannot write into"):
        locked(path).__enter__()


def test_a_folder_has_several_locks(tmp_path):
    with locked(tmp_path, "run"), locked(tmp_path), pytest.raises(OutputError, match="in use"):
        locked(tmp_path, "run").__enter__()
    assert names(tmp_path) == []


def test_an_error_while_the_lock_is_held_stays_what_it_is(tmp_path):
    with pytest.raises(OSError, match="of its own"), locked(tmp_path):
        raise OSError("of its own")


@pytest.mark.parametrize("folder", ["", None, 3, "a\0b", "x" * 300])
def test_what_is_no_name_of_a_folder_is_refused(folder):
    with pytest.raises(OutputError, match="expected the name of a folder|cannot write into"):
        locked(folder).__enter__()


def test_room_on_the_disk_is_told_in_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
    check_space(tmp_path, 2_000_000)
    with pytest.raises(OutputError, match="expected 4 MB of free space, got 2 MB"):
        check_space(tmp_path, 4_000_000)
    with pytest.raises(OutputError):
        check_space(tmp_path, 2_000_001)

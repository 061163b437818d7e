"""What is read of files that somebody else may have made, and where the bounds lie; tests/attacks has hostile ones."""

import io
import json
import os
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from branchynet.machine import reading
from branchynet.machine.reading import BadFile, read_bytes, read_json, read_npz


def sparse(path, n_bytes):
    """A file of so many zeros, which takes no room."""
    with open(path, "wb") as handle:
        handle.truncate(n_bytes)
    return path


@pytest.mark.parametrize(("read", "most"), [(read_bytes, 4 << 30), (read_npz, 4 << 30), (read_json, 64 << 20)])
def test_a_file_may_be_so_large_and_no_larger(tmp_path, read, most):
    with pytest.raises(BadFile, match=f"expected at most {most:,} bytes, got {most + 1:,}$"):
        read(sparse(tmp_path / "a", most + 1))


def test_a_file_of_just_the_size_that_is_allowed_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bytes(tmp_path / "a", most_bytes=3) == b"abc"
    with pytest.raises(BadFile, match="expected at most 2 bytes, got 3"):
        read_bytes(tmp_path / "a", most_bytes=2)


def test_a_system_without_these_ways_to_open_a_file_reads_it_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"abc")
    for name in ("O_NONBLOCK", "O_BINARY"):
        monkeypatch.delattr(os, name, raising=False)
    assert read_bytes(tmp_path / "a") == b"abc"


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_json_is_nested_a_hundred_levels_deep_at_most(tmp_path, begin, end):
    path = tmp_path / "a.json"
    path.write_text(100 * begin + "1" + 100 * end)
    assert json.dumps(read_json(path)).count(begin[0]) == 100
    path.write_text(101 * begin + "1" + 101 * end)
    with pytest.raises(BadFile, match="expected at most 100 levels of nesting, got more"):
        read_json(path)


def member(number=0, flag_bits=0):
    """What the directory of an archive says of an array of one byte."""
    said = {"filename": f"{number}.npy", "compress_type": zipfile.ZIP_STORED, "flag_bits": flag_bits}
    return SimpleNamespace(**said, file_size=1, comment=b"")


def test_an_archive_has_fifty_thousand_arrays_at_most():
    members = [member(n) for n in range(50_001)]
    reading._check_members(members[:-1], 50_000)
    with pytest.raises(ValueError, match="got 50,001 arrays"):
        reading._check_members(members, 50_001)


def test_an_encrypted_array_is_called_so_and_other_flags_are_none_of_ours():
    reading._check_members([member(flag_bits=0xFFFE)], 1)
    with pytest.raises(ValueError, match="got '0.npy', which is compressed, encrypted or no array"):
        reading._check_members([member(flag_bits=1)], 1)


@pytest.mark.parametrize(
    "array",
    [np.float32(3), np.zeros((0, 3)), np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.array("text")],
    ids=["a number", "empty", "by rows", "by columns", "text"],
)
def test_arrays_of_any_shape_and_order_are_what_was_saved(array):
    handle = io.BytesIO()
    np.savez(handle, array=array, other=np.ones(2))
    found = read_npz("a.npz", handle.getvalue())
    assert list(found) == ["array", "other"] and found["array"].dtype == np.asarray(array).dtype
    np.testing.assert_array_equal(found["array"], array)
    assert found["other"].flags.writeable


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_forms_of_headers_that_numpy_writes_are_read(version):
    handle, content = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(content, np.arange(3.0), version)
    with zipfile.ZipFile(handle, "w") as archive:
        archive.writestr("a.npy", content.getvalue())
    assert read_npz("a.npz", handle.getvalue())["a"].tolist() == [0, 1, 2]


def test_a_name_that_is_longer_than_a_message_is_cut():
    handle = io.BytesIO()
    with zipfile.ZipFile(handle, "w") as archive:
        archive.writestr(81 * "x", b"")
    with pytest.raises(BadFile, match=f"got '{80 * 'x'}', which is compressed, encrypted or no array"):
        read_npz("a.npz", handle.getvalue())


@pytest.mark.parametrize("at", [30, 32], ids=["field", "comment"])
def test_an_entry_of_an_archive_that_swallows_the_next_ones_is_refused(tmp_path, at):
    path = tmp_path / "a.npz"
    np.savez(path, first=np.zeros(3), second=np.ones(3), third=np.ones(4))
    content = bytearray(path.read_bytes())
    directory, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    after_name = directory + 46 + len("first.npy")
    content[directory + at : directory + at + 2] = (end - after_name).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(BadFile):
        read_npz(path)

"""A file is replaced whole or not at all."""

import errno

import pytest

from branchynet.errors import OutputError
from branchynet.files import replacing


def test_the_new_file_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path, "w") as handle:
        handle.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("stop"), OSError(errno.ENOSPC, "No space left on device")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    expected = OutputError if isinstance(error, OSError) else ValueError
    with pytest.raises(expected, match="stop|cannot write .*No space left"), replacing(path, "w") as handle:
        handle.write("half")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(OutputError, match="cannot write"), replacing(tmp_path / "no" / "a.txt") as handle:
        handle.write(b"")

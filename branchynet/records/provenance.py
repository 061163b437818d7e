"""Where a figure comes from: versions, machine and commit. No host name, no user name, no path."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess

import threadpoolctl

from branchynet.devices import describe, get_device
from branchynet.threads import usable_cores

# Several distributions may bring the same module: the first one that is installed counts.
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "chainer": ("chainer",),
    "cupy": ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "matplotlib": ("matplotlib",),
}
_GIT_TIMEOUT_S = 10


def environment(device_description: str | None = None, threads: int | None = None) -> dict:
    """What a figure depends on besides the code's arguments.

    Args:
        device_description: model of the processor that computed, such as `branchynet.devices.describe` gives.
        threads: how many threads computed while the clock ran.

    Returns:
        JSON-able: {device, cpu, n_cores (usable), threads, platform, python, versions: {package: version, of those that
        are installed}, blas: list of text, commit: hash or None, dirty: bool or None, utc: ISO 8601}.
        `dirty`: a Python file of the checkout differs from the commit. Outside a checkout `commit` is None.
    """
    commit, dirty = _git_state(pathlib.Path(__file__).resolve())
    return {
        "device": device_description,
        "cpu": describe(get_device("cpu")),
        "n_cores": usable_cores(),
        "threads": threads,
        "platform": " ".join(word for word in (platform.system(), platform.machine(), *platform.libc_ver()) if word),
        "python": platform.python_version(),
        "versions": _versions(),
        "blas": _blas(),
        "commit": commit,
        "dirty": dirty,
        "utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _versions():
    """Versions from the packages' metadata: nothing is imported for it."""
    versions = {}
    for name, distributions in _DISTRIBUTIONS.items():
        for distribution in distributions:
            try:
                versions[name] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
            break
    return versions


def _blas():
    """The BLAS libraries in use, such as "openblas 0.3.30 (Haswell)": at batch 1 they decide much of a latency."""
    found = []
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas":
            words = f"{library['internal_api']} {library.get('version')} ({library.get('architecture', 'unknown')})"
            found.append(words)
    return sorted(set(found))


def _git_state(source):
    """(commit, dirty) of the checkout that a source file belongs to; (None, None) where it belongs to none."""

    def git(*arguments):
        answer = subprocess.run(
            ["git", "-C", str(source.parent), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
            # A status must not take the lock that another git may wait for.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
        return answer.stdout.strip()

    try:
        # Installed into an environment inside somebody's checkout, the file is not that checkout's.
        git("ls-files", "--error-unmatch", source.name)
        commit = git("rev-parse", "HEAD")
        return commit, bool(git("status", "--porcelain", "--untracked-files=all", "--", ":/*.py"))
    except (OSError, subprocess.SubprocessError):
        return None, None

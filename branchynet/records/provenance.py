"""Where a figure comes from: versions, machine and commit. No host name, no user name, no path."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess

import threadpoolctl

from branchynet.machine import processor
from branchynet.machine.devices import describe, get_device, gpu_details
from branchynet.machine.threads import usable_cores

# Several distributions may bring the same module: the first one that is installed counts.
_DISTRIBUTIONS = {
    "numpy": ["numpy"],
    "chainer": ["chainer"],
    "cupy": ["cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy"],
    "onnxruntime": ["onnxruntime", "onnxruntime-gpu"],
    "matplotlib": ["matplotlib"],
}
# Also recorded, but too many for a table.
_MORE = ("scipy", "pillow", "onnx", "openvino", "torch", "mpi4py", "filelock", "threadpoolctl", "tqdm", "ziglang")
_GIT_TIMEOUT_S = 10
# What git calls the files that decide what is computed and written: results are none of them.
_CODE = [f":(top)*.{ending}" for ending in ("py", "c", "h", "cuh", "html", "js")]
_CODE.append(":(top,exclude)experiments/results")
_LOAD_AT_START = processor.load()


def environment(device, threads: int | None = None) -> dict:
    """What a figure depends on besides the code's arguments.

    Args:
        device: Chainer device that computed.
        threads: how many threads computed while the clock ran.

    Returns:
        JSON-able: {device: its model, gpu: of `branchynet.machine.devices.gpu_details`, cpu, n_cores (usable), threads,
        platform, python, versions: {package: version, of those that are installed}, packages: {more of them}, blas:
        list of text, processor: of `branchynet.machine.processor`, load: {before: when this process began, after: now},
        commit: hash or None, dirty: bool or None, utc: ISO 8601}. `dirty`: a Python file of the checkout differs from
        the commit. Outside a checkout `commit` is None.
    """
    commit, dirty = _git_state(pathlib.Path(__file__).resolve())
    versions = {name: _version(distributions) for name, distributions in _DISTRIBUTIONS.items()}
    return {
        "device": describe(device),
        "gpu": gpu_details(device),
        "cpu": describe(get_device("cpu")),
        "n_cores": usable_cores(),
        "threads": threads,
        "platform": " ".join(word for word in (platform.system(), platform.machine(), *platform.libc_ver()) if word),
        "python": platform.python_version(),
        "versions": {name: version for name, version in versions.items() if version},
        "packages": {name: version for name in _MORE if (version := _version([name]))},
        "blas": _blas(),
        "processor": processor.processor(),
        "load": {"before": _LOAD_AT_START, "after": processor.load()},
        "commit": commit,
        "dirty": dirty,
        "utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _version(distributions):
    """The version of the first distribution that is installed, from its metadata: nothing is imported for it."""
    for distribution in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


def _blas():
    """The BLAS libraries in use, such as "openblas 0.3.30 (Haswell)": at batch 1 they decide much of a latency."""
    words = "{internal_api} {version} ({architecture})"
    libraries = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    return sorted({words.format_map({"architecture": "unknown", **library}) for library in libraries})


def _git_state(source):
    """(commit, dirty) of the checkout that a source file belongs to; (None, None) where it belongs to none.

    Dirty is what differs in anything that is code: kernels and templates too, but no results.
    """

    def git(*arguments):
        command = ["git", "-C", str(source.parent), *arguments]
        # A status must not take the lock that another git may wait for.
        settings = {"env": {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}, "timeout": _GIT_TIMEOUT_S}
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, **settings).strip()

    try:
        # Installed into an environment inside somebody's checkout, the file is not that checkout's.
        git("ls-files", "--error-unmatch", source.name)
        commit = git("rev-parse", "HEAD")
        return commit, bool(git("status", "--porcelain", "--untracked-files=all", "--", *_CODE))
    except (OSError, subprocess.SubprocessError):
        return None, None

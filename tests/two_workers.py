"""Starts two workers by MPI."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def mpiexec():
    """The launcher that belongs to this interpreter, or the system's; skips the test where there is none."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed; in the project's folder: pip install -e '.[mpi]'")
    beside = pathlib.Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec; in the project's folder: pip install -e '.[mpi]'")
    return found


def run_two(*command, timeout_s=120, **options):
    """The ended process of two workers that run a Python command together."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OPENBLAS_NUM_THREADS": "1"}
    command = [mpiexec(), "-n", "2", sys.executable, *map(str, command)]
    options = {"capture_output": True, "text": True, "env": environment, **options}
    return subprocess.run(command, timeout=timeout_s, **options)

"""A C compiler, wherever there is one, and a cache of what it made.

The compiler is the one that CC names, else gcc, clang or cc, else clang as PyPI's package `ziglang` brings it (extra
`native`). What was compiled is kept in the user's cache by source, flags, compiler and processor, since
``-march=native`` belongs to one processor.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import pathlib
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile

from branchynet.errors import CompileError, OutputError
from branchynet.machine import processor
from branchynet.machine.files import cache_folder, replacing

# Vectors of float32 in C, in front of all kernels.
VECTORS = pathlib.Path(__file__).with_name("vectors.h")
# Convolution by Winograd's minimal filtering, behind them.
WINOGRAD = pathlib.Path(__file__).with_name("winograd.h")
# Threads that share a batch.
TEAM = pathlib.Path(__file__).with_name("team.h")
_TIMEOUT_S = 600
# What every compiler can do: whether it runs at all, and makes what this machine loads.
_SMALLEST = "int branchynet_smallest(void) { return 0; }\n"
FLAGS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-shared", "-pthread")
_LIBRARY_ENDING = {"Darwin": ".dylib", "Windows": ".dll"}.get(platform.system(), ".so")


@functools.lru_cache(maxsize=1)
def find_compiler() -> tuple | None:
    """The command of the C compiler, as a tuple of words; None where there is none.

    Raises:
        CompileError: CC is no command.
    """
    try:
        named = tuple(shlex.split(os.environ.get("CC", "")))
    except ValueError as error:
        raise CompileError(f"CC: expected a command, got {os.environ['CC']!r}: {error}") from error
    if named:
        return named
    for name in ("gcc", "clang", "cc"):
        if shutil.which(name):
            return (name,)
    return (sys.executable, "-m", "ziglang", "cc") if importlib.util.find_spec("ziglang") else None


def pointer(array) -> ctypes.c_void_p:
    """The address of an array's first number, for a function in C."""
    return ctypes.c_void_p(array.ctypes.data)


def compiler_problem() -> str | None:
    """Why nothing can be compiled here, as text; None if a small library can, which is then in the cache."""
    try:
        load_library(_SMALLEST)
    except CompileError as error:
        return str(error)
    return None


def load_library(source: str) -> ctypes.CDLL:
    """What `compile_library` makes, loaded.

    Raises:
        CompileError: as of `compile_library`, or the system does not load the library.
    """
    path = compile_library(source)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompileError(f"{path}: expected a library that this machine loads: {error}") from error


def native_flags() -> tuple:
    """The compiler's flags for the processor that runs this.

    On x86 gcc is told to schedule as for Haswell: what it does for AMD's Zen makes the kernels of the native engine up
    to twice as slow there (gcc 12, Zen 3), and other processors reorder for themselves.
    """
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return ("-march=native", "-mtune=haswell") if is_x86 else ("-march=native",)


def compile_library(source: str, flags=None) -> pathlib.Path:
    """Compiles C into a shared library, or takes it from the cache.

    Two processes may ask for the same at once: each file comes into its place whole. A cache that another user could
    write to is not used.

    Args:
        source: the text of one C file.
        flags: of the compiler, besides those for speed; `native_flags` by default.

    Returns:
        the path of the library.

    Raises:
        CompileError: there is no compiler, it fails, or the cache cannot be written to.
    """
    command, flags = find_compiler(), native_flags() if flags is None else flags
    if command is None:
        hint = "install gcc or clang, or in the project's folder: pip install -e '.[native]'"
        raise CompileError(f"no C compiler is here: {hint}")
    machine = (platform.machine(), processor.model(), *processor.features())
    words = "\0".join([source, *flags, *FLAGS, *_identity(command), *machine])
    folder = _cache_folder()
    path = folder / f"{hashlib.sha256(words.encode()).hexdigest()[:32]}{_LIBRARY_ENDING}"
    if not path.exists():
        try:
            with tempfile.TemporaryDirectory() as work, replacing(path) as library:
                library.write(_compile([*command, *FLAGS, *flags], source, pathlib.Path(work)).read_bytes())
        except (OSError, OutputError) as error:
            raise CompileError(f"{folder}: expected to leave there what {command[0]} compiles: {error}") from error
    return path


def _compile(command, source, folder):
    """The library of a source, compiled in a folder of its own."""
    (folder / "source.c").write_text(source, encoding="utf-8")
    made = folder / f"library{_LIBRARY_ENDING}"
    result = _run([*command, str(folder / "source.c"), "-o", str(made), "-lm"], _TIMEOUT_S)
    if result.returncode != 0:
        raise CompileError(f"the C compiler {command[0]} failed: {result.stderr.strip()[-2000:]}")
    return made


def _run(words, timeout_s):
    """What the compiler answers to a command."""
    options = {"capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL}
    try:
        return subprocess.run(words, timeout=timeout_s, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"the C compiler {words[0]} cannot be run: {error}") from error


@functools.lru_cache(maxsize=4)
def _identity(command):
    """What tells one compiler from another: its own words."""
    return (*command, _run([*command, "--version"], 60).stdout.split("\n")[0])


def _cache_folder():
    """The user's own folder for compiled libraries, made if need be."""
    folder = pathlib.Path(cache_folder(), "native").expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise CompileError(f"{folder}: expected a folder for compiled code that can be written: {error}") from error
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise CompileError(
            f"{folder}: expected a folder that this user alone can write to: others could change the code"
        )
    return folder

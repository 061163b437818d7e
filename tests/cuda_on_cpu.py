"""The kernels of the cuda engine, compiled by g++ and run on the CPU: the source that the GPU's compiler gets, behind
`cuda_on_cpu.hpp`."""

import ctypes
import functools
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from branchynet.inference import Answers
from branchynet.inference.cuda.program import Program
from branchynet.inference.cuda.source import MOST_SAMPLES, fits_block, kernel_names, launches, whole_source
from branchynet.machine.compilers import pointer

_HEADER = pathlib.Path(__file__).with_name("cuda_on_cpu.hpp")
COMPILER = shutil.which("g++")
_TIMEOUT_S = 300
_PARAMETERS = (
    "const float *weights, const SAMPLE *samples, int n, const float *thresholds, float *work, int *lists, "
    "unsigned long long *arrived, int *rows, volatile int *messages"
)
_ARGUMENTS = "weights, samples, n, thresholds, work, lists, arrived, rows, messages"


def _launcher(name):
    """C++: a function that runs a kernel on a grid, and returns 0 if a thread waited for ever."""
    return (
        f'extern "C" int run_{name}(unsigned grid, unsigned threads, unsigned shared_floats, {_PARAMETERS})\n{{\n'
        f"    static decltype(std::make_tuple({_ARGUMENTS})) arguments;\n"
        f"    arguments = std::make_tuple({_ARGUMENTS});\n"
        f"    emulation::body = [] {{ std::apply({name}, arguments); }};\n"
        f"    return emulation::run(grid, threads, shared_floats);\n}}\n"
    )


@functools.lru_cache
def _compiled(text):
    """The library of a C++ source."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "kernels.cpp")
        path.write_text(text)
        words = [COMPILER, "-std=c++17", "-O1", "-shared", "-fPIC", "-w", str(path), "-o", f"{path}.so"]
        subprocess.run(words, check=True, timeout=_TIMEOUT_S)
        return ctypes.CDLL(f"{path}.so")


class KernelsOnCpu:
    """A plan's kernels.

    Args:
        plan: `branchynet.inference.plan.Plan`.
        measure: a `branchynet.confidence.Measure`, or None.
        change: a function of the source, for tests of what a change does.
    """

    def __init__(self, plan, measure, change=lambda source: source):
        self.plan, self.program = plan, Program(plan)
        self.fits_block = fits_block(self.program)
        self.weights = self.program.weights
        self.one, self.batch = kernel_names(self.program)
        launchers = "\n".join(map(_launcher, dict.fromkeys((self.one, *self.batch))))
        source = change(whole_source(self.program, measure))
        self._library = _compiled(f"#include <tuple>\n{_HEADER.read_text()}\n{source}\n{launchers}")

    def answers(self, x, thresholds, one=False, grid=3, threads=64) -> Answers:
        """Answers a batch, as the engine launches it; or by the kernel for one sample, which takes several in turn.

        `grid` and `threads` are of the launch, as far as the kernel leaves it open.

        Raises:
            RuntimeError: threads wait for each other for ever.
            ValueError: a sample, or logits, are not finite, or a score is NaN.
        """
        n, row_size = len(x), 3 + self.plan.n_classes
        rows, messages = np.full((n, row_size), -1, np.int32), np.array([7, 0, 0, 0, 0], np.int32)
        arrived = np.zeros(1, np.uint64)
        of_one, of_batch = launches(self.program)
        if one:  # its warps share tiles as many as they are
            threads = of_one.team.block
        launch = of_one if one else of_batch
        work = np.full((n, launch.memory_floats), np.nan, np.float32)
        lists = np.full(self.plan.n_exits * (1 + MOST_SAMPLES), -1, np.int32)
        thresholds = np.array([*thresholds, 0], np.float32)
        x = np.ascontiguousarray(x)
        for name in (self.one,) if one else self.batch:
            arguments = (self.weights, x, ctypes.c_int(n), thresholds, work, lists, arrived, rows, messages)
            pointers = [value if isinstance(value, ctypes.c_int) else pointer(value) for value in arguments]
            if not self._library[f"run_{name}"](grid, threads, launch.shared_floats, *pointers):
                raise RuntimeError(f"{name}: threads wait for each other for ever")
        if messages[2:].any():
            raise ValueError(
                "a bad sample" if messages[2] else "bad logits" if messages[3] else f"a bad score at exit {messages[4]}"
            )
        return Answers(rows[:, 0], rows[:, 1], rows[:, 2].view(np.float32), rows[:, 3:].view(np.float32))

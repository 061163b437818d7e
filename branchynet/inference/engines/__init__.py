"""Engines: what runs a plan. Each is one file or folder of this room that can be deleted; nothing else names it.

An engine's module has a name `ENGINE`, a class of the form of `Engine`. What it makes for each thread, a workspace, has
buffers of its own, so that several threads may use one engine at a time. Either it decides itself who leaves:

    answers(x, rule)        x (N, ...) float32, N >= 1, on the host; rule a `Thresholds` -> `Answers`; NetworkError if a
                            number is not finite

or it computes a segment, and the exits are decided outside (`branchynet.inference.compiled`):

    run_segment(index, h)   h (n, ...) float32, n >= 1, on the device -> (logits (n, n_classes), input of the next
                            segment (n, ...), not looked at behind the last); the arrays may be the workspace's own,
                            which its next call overwrites

    n_bytes()               memory of its buffers

The room knows plans and operations; it knows no network list.
"""

import importlib.util
import pkgutil

import numpy as np

from branchynet.datasets.samples import describe
from branchynet.errors import CompileError
from branchynet.gate import shown, whole_number
from branchynet.inference.reference import check_finite

# More than any machine has cores; each takes memory.
MOST_THREADS = 1024


class Engine:
    """What engines are, with the answers of one on the CPU that needs some packages.

    An engine gets ready to run a plan when it is made; what it keeps is not changed any more.

    Args:
        plan: `branchynet.inference.plan.Plan`.
        device: Chainer device.
        threads: that it may compute with, at least 1.
        measure: a `branchynet.confidence.Measure`, for an engine that decides itself who leaves; None for no score.
        precision: of `precisions`.
        calibration: (n, ...) float32 samples, which say how large activations get; for "int8".

    Raises:
        CompileError: the plan or the measure is more than it can do, or the processor cannot compute so.
    """

    name = None  # what callers ask for it by
    rank = None  # "auto" takes the usable engine with the lowest
    precisions = ("f32",)  # of weights and activations that it can compute with: of "f32", "bf16", "int8"
    outlives_fork = False  # whether a process that was forked may go on with it
    takes_pixels = False  # whether it makes samples of uint8 images itself, by `plan.transform`
    packages = ()  # that it needs
    extra = None  # of the project, which brings them

    @classmethod
    def problem(cls, device):
        """Why it cannot compute on a Chainer device, as text; None if it can."""
        missing = [name for name in cls.packages if importlib.util.find_spec(name) is None]
        if missing:
            needs = f"the {cls.name} engine needs {' and '.join(missing)}"
            return f"{needs}; in the project's folder: pip install -e '.[{cls.extra}]'"
        if device.xp is not np:
            return f"the {cls.name} engine computes on the CPU; on a GPU take engine cuda or arrays"
        for name in cls.packages:
            try:
                importlib.import_module(name)
            except Exception as error:  # whatever a package that does not fit the others does
                return f"the {cls.name} engine needs {name}, which is here and cannot be imported: {error!r}"
        return None

    def new_workspace(self):
        """What one thread at a time runs the plan with."""
        raise NotImplementedError

    def n_bytes(self) -> int:
        """Memory that it keeps; 0 where what it is made of does not tell."""
        return 0


def engine_classes() -> dict:
    """{name: class} of the engines that are in this room, the first choice of "auto" first."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    classes = [module.ENGINE for module in modules if hasattr(module, "ENGINE")]
    return {engine.name: engine for engine in sorted(classes, key=lambda engine: engine.rank)}


def engine_names() -> tuple:
    """What callers may ask for: "auto", and the names of the engines."""
    return ("auto", *engine_classes())


def make_engine(name, plan, device, threads, measure, precision="f32", calibration=None):
    """An engine that is ready to run a plan.

    Args:
        name: of `engine_names`; "auto" is the first usable one that has the precision.
        plan, device, threads, measure, precision, calibration: as of `Engine`.

    Raises:
        CompileError: there is no such engine, it cannot be used here, or not for this plan; other calibration samples.
        NetworkError: these are not finite.
    """
    engines = _engines_of(name)
    threads = whole_number("threads", threads, CompileError, 1, MOST_THREADS)
    _check_precision(engines, name, precision, calibration, plan)
    problems = []
    for engine in engines:
        if precision not in engine.precisions:
            continue
        problem = engine.problem(device)
        if problem is None:
            try:
                return engine(plan, device, threads, measure, precision, calibration)
            except CompileError as error:
                problem = str(error)
        problems.append(problem)
    raise CompileError("; ".join(problems))


def check_engine(name, device) -> None:
    """Raises CompileError if an engine of that name cannot be used on a device; "auto" always finds one.

    A run that will need it finds out so in its first second, not after its training.
    """
    first = _engines_of(name)[0]
    problem = None if name == "auto" else first.problem(device)
    if problem is not None:
        raise CompileError(problem)


def _engines_of(name):
    """The classes that a name means, the first choice first; CompileError if it is none of `engine_names`."""
    classes = engine_classes()
    if not isinstance(name, str) or name not in ("auto", *classes):
        raise CompileError(f"engine: expected one of {', '.join(engine_names())}, got {shown(name)}")
    return list(classes.values()) if name == "auto" else [classes[name]]


def _check_precision(engines, name, precision, calibration, plan):
    known = sorted({precision for engine in engines for precision in engine.precisions})
    if not isinstance(precision, str) or precision not in known:
        raise CompileError(f"precision: expected one of {', '.join(known)} for engine {name}, got {shown(precision)}")
    if calibration is None and precision != "int8":
        return
    is_array = type(calibration) in (np.ndarray, np.memmap) and calibration.dtype == np.float32
    if not is_array or calibration.shape[1:] != plan.in_shape or not calibration.size:
        expected = f"training images (n, *{plan.in_shape}) float32 for int8"
        raise CompileError(f"calibration: expected {expected}, got {describe(calibration)}")
    check_finite(np, calibration)

"""Mutation testing: changes one operator or number of a module at a time, and runs the tests that should notice.

    python tests/mutants.py thresholds                  # all mutants of a room
    python tests/mutants.py all --sample 100 --record   # so many of each room, drawn at random; kept for docs/trust.md

Each mutant lives in a process of its own, forked from one that has imported all libraries. The tests that come to its
line run first, the others of their files after them; where none comes, as to what is done when a module is imported,
all of the room run. A mutant that survives is printed with its place;
`harmless_mutants.txt` lists those that change nothing that matters, with the reason.
"""

import argparse
import ast
import importlib
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import campaigns
import pytest
from mutation import Mutated, module_name, places

ROOT = pathlib.Path(__file__).resolve().parents[1]
HARMLESS = ROOT / "tests" / "harmless_mutants.txt"
_TESTS_OF_INFERENCE = (
    *("compiled", "reference", "measures", "native", "plan", "processes", "arrays", "engines", "operations"),
    *("precision", "random_networks"),
)
# {room: (its modules, the tests that should notice)}
ROOMS = {
    "thresholds": (
        ["thresholds/*.py", "!thresholds/goals.py", "!thresholds/risk.py"],
        ["tests/thresholds", "tests/experiment/test_analysis.py"],
    ),
    "goals": (["thresholds/goals.py"], ["tests/thresholds"]),
    "risk": (["thresholds/risk.py"], ["tests/thresholds"]),
    "inference": (
        ["inference/compiled.py", "inference/reference.py", "inference/plan.py", "inference/lowering.py"]
        + ["inference/operations.py", "inference/engines/*.py", "inference/engines/arrays/*.py"]
        + ["!inference/engines/cuda.py"],
        [
            "tests/test_checks.py",
            "tests/test_registry.py",
            *(f"tests/inference/test_{name}.py" for name in _TESTS_OF_INFERENCE),
        ],
    ),
    "timing": (["bench/*.py"], ["tests/bench"]),
    "evidence": (
        ["experiment/operating.py", "experiment/analysis.py"],
        ["tests/experiment/test_operating.py", "tests/experiment/test_analysis.py"],
    ),
    "serialization": (
        ["serialization/*.py", "machine/reading.py", "machine/files.py"],
        ["tests/test_serialization.py", "tests/serialization", "tests/confidence/test_saving.py"]
        + ["tests/attacks/test_attacks.py", "tests/machine/test_files.py", "tests/machine/test_reading.py"]
        + ["tests/training/test_resumption.py", "tests/test_trained.py"],
    ),
}
_LIBRARIES = (
    "chainer",
    "scipy.optimize",
    "scipy.stats",
    "onnx",
    "onnxruntime",
    "openvino",
    "matplotlib.pyplot",
    "hypothesis",
)


def modules(room):
    """The paths of a room's modules, relative to the package."""
    found = []
    for pattern in ROOMS[room][0]:
        if pattern.startswith("!"):
            found.remove(pattern[1:])
        else:
            found += [str(path.relative_to(ROOT / "branchynet")) for path in (ROOT / "branchynet").glob(pattern)]
    return sorted(found)


def mutants(room):
    """(path, line, what was changed, its key, tree) of every mutant of a room."""
    for path in modules(room):
        source = (ROOT / "branchynet" / path).read_text(encoding="utf-8")
        lines = source.split("\n")
        for number in range(sum(1 for _ in places(ast.parse(source)))):
            tree = ast.parse(source)
            node, change, words = list(places(tree))[number]
            change()
            yield path, node.lineno, words, f"{path}: {lines[node.lineno - 1].strip()}: {words}", tree


class _Traced:
    """A plugin of pytest that writes down how long each test takes, and the lines of a room that it comes to."""

    def __init__(self, paths):
        self._paths = {str(ROOT / "branchynet" / path): path for path in paths}
        self.tests, self._lines = {}, set()

    def _trace(self, frame, event, argument):
        path = self._paths.get(frame.f_code.co_filename)
        if path is None:
            return None
        self._lines.add((path, frame.f_lineno))
        return self._trace

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self._lines, start = set(), time.perf_counter()
        sys.settrace(self._trace), threading.settrace(self._trace)
        yield
        sys.settrace(None), threading.settrace(None)
        self.tests[item.nodeid] = {"s": time.perf_counter() - start, "lines": sorted(self._lines)}


class _Ordered:
    """A plugin of pytest that runs some tests first: those of quick files, and of a file the quick ones."""

    def __init__(self, first, seconds):
        self._first, self._seconds = set(first), seconds

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        total = {}
        for item in items:
            if item.nodeid in self._first:
                total[item.path] = total.get(item.path, 0) + self._seconds.get(item.nodeid, 0)

        def place(item):
            is_later, own_s = item.nodeid not in self._first, self._seconds.get(item.nodeid, 0)
            return is_later, total.get(item.path, 1e9), str(item.path), own_s

        items.sort(key=place)


def forked(work):
    """The process id of a child that ends with the status that `work()` returns; it is silent."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    status = 70
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        status = work()
    finally:
        os._exit(status)


def status_of(child, limit_s=None):
    """The exit status of a child; None for one that a signal ended, or that took too long."""
    end = time.monotonic() + (limit_s or 1e9)
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run_tests(tests, plugin, folder):
    """pytest's exit status for a room's tests, ended by the first that fails."""
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", f"--basetemp={folder}"]
    return int(pytest.main([*arguments, *tests], plugins=[plugin]))


def traced(room, folder):
    """{test: its seconds and the lines of the room that it comes to}, of tests that pass."""

    def work():
        for path in modules(room):  # what is done then is no test's own
            importlib.import_module(module_name(path))
        plugin = _Traced(modules(room))
        status = run_tests(ROOMS[room][1], plugin, folder / "t")
        (folder / "traced.json").write_text(json.dumps(plugin.tests))
        return status

    if status_of(forked(work)) != 0:
        sys.exit(f"{room}: expected tests that pass before anything is changed, got some that fail")
    return json.loads((folder / "traced.json").read_text())


def survives(path, line, tree, tests, folder):
    """Whether tests pass with a mutant in place of a module."""
    first = [name for name, test in tests.items() if [path, line] in test["lines"]]
    files = sorted({name.split("::")[0] for name in first or tests})
    seconds = {name: test["s"] for name, test in tests.items()}

    def work():
        sys.meta_path.insert(0, Mutated(path, tree))
        return run_tests(files, _Ordered(first, seconds), folder / "m")

    status = status_of(forked(work), 30 + 3 * sum(seconds.values()))
    shutil.rmtree(folder / "m", ignore_errors=True)
    return status == 0


def import_libraries():
    """What all children need; the package itself is imported by each anew."""
    importlib.import_module("branchynet")
    for name in _LIBRARIES:
        importlib.import_module(name)
    for name, module in list(sys.modules.items()):
        is_ours = str(getattr(module, "__file__", None)).startswith((f"{ROOT}/branchynet", f"{ROOT}/tests"))
        if is_ours and name not in ("__main__", "mutants", "mutation", "campaigns", "branchynet._compat"):
            del sys.modules[name]
    left = [name for name in sys.modules if name.startswith("branchynet.") and name != "branchynet._compat"]
    if left:  # no mutant would take their place
        sys.exit(f"expected the package of {ROOT}, got another one: {sys.modules[left[0]].__file__}")


def harmless():
    """{key of a mutant: why it may live}."""
    lines = HARMLESS.read_text(encoding="utf-8").split("\n")
    return dict(line.rsplit("  # ", 1) for line in lines if "  # " in line)


def try_room(room, sample, only, seed, keep):
    """Prints the mutants of a room that survive; `keep(figures)` is called after each mutant, so that nothing is lost:
    as they come in random order, those so far are a sample, too."""
    found = [one for one in mutants(room) if only in f"{one[0]}:{one[1]}: {one[2]}"]
    if not found:
        sys.exit(f"{room}: expected the text of a mutant, got one that none has: {only}")
    n_all, known, alive = len(found), harmless(), []
    found = random.Random(seed).sample(found, n_all if sample is None else min(sample, n_all))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tests = traced(room, folder)
        for n_tried, (path, line, words, key, tree) in enumerate(found, start=1):
            if survives(path, line, tree, tests, folder):
                alive.append(key)
                why = f" (harmless: {known[key]})" if key in known else ""
                print(f"survives: {path}:{line}: {words}{why}", flush=True)
            n_harmless = sum(key in known for key in alive)
            figures = {"mutants": n_all, "tried": n_tried, "killed": n_tried - len(alive), "harmless": n_harmless}
            keep({**figures, "seed": seed, "survivors": alive})
    print(f"{room}: {figures['killed']} of {len(found)} mutants killed, {n_harmless} more are harmless", flush=True)


def main():
    """Tries the mutants of one room, or of all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("room", choices=[*ROOMS, "all"])
    parser.add_argument("--sample", type=int, metavar="N", help="so many of a room, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample, or of the order of all")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose place or change has this text")
    parser.add_argument("--record", action="store_true", help="keep what is found in tests/campaigns.json")
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    import_libraries()
    for room in ROOMS if options.room == "all" else [options.room]:

        def keep(figures, room=room):
            if options.record:
                campaigns.record(f"mutants {room}", **figures)

        try_room(room, options.sample, options.only, options.seed, keep)


if __name__ == "__main__":
    main()

"""Mutation testing: changes one operator or number of a module at a time, and runs the tests that should notice.

    python tests/mutants.py thresholds            # all mutants of a room; or inference, timing, serialization
    python tests/mutants.py thresholds --sample 40

A mutant that survives is printed with its place. The modules of `ROOMS` are changed in a copy of the checkout.
"""

import argparse
import ast
import copy
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
# {room: (its modules, the tests that should notice)}
ROOMS = {
    "thresholds": (["branchynet/thresholds/*.py"], ["tests/thresholds"]),
    "inference": (
        ["branchynet/inference/compiled.py", "branchynet/inference/reference.py", "branchynet/inference/plan.py"],
        ["tests/inference/test_compiled.py", "tests/inference/test_reference.py", "tests/test_hostile_calls.py"],
    ),
    "timing": (["branchynet/bench/*.py"], ["tests/bench"]),
    "serialization": (
        ["branchynet/serialization/*.py", "branchynet/machine/reading.py", "branchynet/machine/files.py"],
        ["tests/test_serialization.py", "tests/attacks/test_attacks.py", "tests/machine/test_files.py"],
    ),
}  # fmt: skip
_PAIRS = [
    (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn),
    (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr), (ast.And, ast.Or),
]  # fmt: skip
_OTHER = {**dict(_PAIRS), **{other: one for one, other in _PAIRS}}
TIMEOUT_S = 300


def mutants(source):
    """(line, what was changed, mutated source) of every mutant of a source."""
    n_places = sum(1 for _ in _places(ast.parse(source)))
    for number in range(n_places):
        tree = ast.parse(source)
        node, change, words = list(_places(tree))[number]
        change()
        yield node.lineno, words, ast.unparse(tree)


def _places(tree):
    """(node, function that changes it, words) of every place that can be changed, but for texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            value = node.value
            yield node, lambda node=node, value=value: setattr(node, "value", value + 1), f"{value}: {value + 1}"
            continue
        operator = node.ops[0] if isinstance(node, ast.Compare) else getattr(node, "op", None)
        other = _OTHER.get(type(operator))
        if other is None or isinstance(node, ast.AugAssign):
            continue
        change = (
            (lambda node=node, other=other: node.ops.__setitem__(0, other()))
            if isinstance(node, ast.Compare)
            else (lambda node=node, other=other: setattr(node, "op", other()))
        )
        yield node, change, f"{ast.unparse(node)}: {other.__name__}"


def survives(folder, path, text, tests):
    """Whether the tests pass with another text in place of a module."""
    kept = (folder / path).read_text(encoding="utf-8")
    (folder / path).write_text(text, encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=TIMEOUT_S)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        (folder / path).write_text(kept, encoding="utf-8")


def main():
    """Prints the mutants that survive, and how many were killed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("room", choices=list(ROOMS))
    parser.add_argument("--sample", type=int, metavar="N", help="so many, drawn at random (default: all)")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose place or change has this text")
    options = parser.parse_args()
    patterns, tests = ROOMS[options.room]
    paths = [path.relative_to(ROOT) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    found = [(path, *mutant) for path in paths for mutant in mutants((ROOT / path).read_text(encoding="utf-8"))]
    found = [one for one in found if options.only in f"{one[0]}:{one[1]}: {one[2]}"]
    if options.sample is not None:
        found = random.Random(0).sample(found, min(options.sample, len(found)))
    n_survivors = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "checkout"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", "*.egg-info"))
        if not survives(folder, paths[0], (ROOT / paths[0]).read_text(encoding="utf-8"), tests):
            sys.exit("expected tests that pass before anything is changed, got some that fail")
        for path, line, words, text in copy.copy(found):
            if survives(folder, path, text, tests):
                n_survivors += 1
                print(f"survives: {path}:{line}: {words}", flush=True)
    print(f"{options.room}: {len(found) - n_survivors} of {len(found)} mutants killed")


if __name__ == "__main__":
    main()

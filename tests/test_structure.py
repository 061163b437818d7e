"""Imports point one way, one module speaks to CuPy, and nothing is ever unpickled. Read from the source, not run."""

from __future__ import annotations

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# The rooms of `branchynet`, lowest first. A module imports from lower lines and from its own room only; rooms on one
# line do not know each other. A new module or package of `branchynet` gets its place here.
ROOMS = (
    ("_compat", "errors", "gate"),
    ("machine", "registry"),
    ("functions",),
    ("links",),
    ("confidence",),
    ("thresholds",),
    ("net",),
    ("datasets",),
    ("serialization",),
    ("training",),
    ("inference",),
    ("bench", "checks", "trained"),
    ("records",),
    ("report",),
    ("plots",),
    ("experiment",),
)
MOST_ROOMS = 21
# `branchynet/__init__.py` and `__main__.py`: may import every room; no room imports names from them.
FRONT = "branchynet"
FRONTS = {FRONT, "branchynet.__main__"}
# What the network lists in `networks` are written with, and what the zoo loads trained ones with.
FOR_NETWORKS = {FRONT, "errors", "functions", "links", "machine", "net", "trained"}
# A file is read on one screen after another: past this it wants splitting.
MOST_LINES = 300

PACKAGES = ("branchynet", "networks", "experiments")
UNPICKLERS = {"_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def read_sources():
    """{module name: parsed source} of the library, the networks and the experiments."""
    sources = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            sources[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return sources


SOURCES = read_sources()


def imports(tree, modules, runtime_only=False):
    """Names of the modules that a source imports, at its top or within functions.

    Args:
        tree: parsed source.
        modules: names of all modules of the project: they tell `from package import module` from
            `from package import name`.
        runtime_only: leave out what is imported under `if TYPE_CHECKING:`.
    """
    found, nodes = set(), [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = [f"{base}.{alias.name}" for alias in node.names]
            found.update(name if name in modules else base for name in names)
        elif runtime_only and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes.extend(node.orelse)
        else:
            nodes.extend(ast.iter_child_nodes(node))
    return found


def room_of(module):
    """The room that a module of `branchynet` belongs to."""
    return module.split(".")[1] if "." in module else FRONT


def check_import(importer, imported):
    """Why one module may not import another, as text; None if it may. Modules of others may always be imported."""
    package, target = importer.split(".")[0], imported.split(".")[0]
    if target == "":
        return f"{importer} imports {imported}: write the whole name"
    if target == "experiments":
        return f"{importer} imports {imported}: nothing imports experiments"
    if target == "networks" and package == "branchynet" and importer not in FRONTS:
        return f"{importer} imports {imported}: branchynet knows no network"
    if target != "branchynet":
        return None
    room = room_of(imported)
    if package == "networks" and room not in FOR_NETWORKS:
        return f"{importer} imports {imported}: networks may import only {', '.join(sorted(FOR_NETWORKS))}"
    if package != "branchynet" or importer in FRONTS or room == room_of(importer):
        return None
    if room == FRONT or LEVELS.get(room, -1) >= LEVELS.get(room_of(importer), len(ROOMS)):
        return f"{importer} imports {imported}: not from a lower line of ROOMS in tests/test_structure.py"
    return None


def find_cycle(sources):
    """The modules of an import cycle, the first one again at the end; an empty list where there is none."""
    graph = {name: imports(tree, sources, runtime_only=True) & set(sources) for name, tree in sources.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_every_room_has_its_place():
    rooms = {room_of(module) for module in set(SOURCES) - FRONTS if module.startswith("branchynet.")}
    assert len(rooms) <= MOST_ROOMS
    unknown = sorted(rooms - set(LEVELS))
    assert not unknown, f"branchynet/{unknown[0]}: give it a line in ROOMS of tests/test_structure.py"


@pytest.mark.parametrize("importer", sorted(SOURCES))
def test_imports_point_one_way(importer):
    problems = [check_import(importer, imported) for imported in sorted(imports(SOURCES[importer], SOURCES))]
    assert not [problem for problem in problems if problem]


@pytest.mark.parametrize("pattern", ["branchynet/**/*.py", "networks/**/*.py", "tests/**/test_*.py"])
def test_no_file_is_longer_than_a_reader_can_hold(pattern):
    n_lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in ROOT.glob(pattern)}
    assert n_lines and {path: n for path, n in n_lines.items() if n > MOST_LINES} == {}


def test_no_imports_go_round_in_a_circle():
    assert find_cycle(SOURCES) == []


def identifiers(tree):
    """Every name that a source reads, imports or takes from an object, for imports every part of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"branchynet.machine.devices", "branchynet._compat"}))
def test_only_devices_and_compat_speak_of_cupy(module):
    assert not {"cupy", "cupyx"} & set(identifiers(SOURCES[module]))


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_scipy_is_imported_only_where_something_is_fitted(module):
    """It takes longer to load than everything else together, and inference does without."""
    at_the_top = ast.Module([node for node in SOURCES[module].body if not isinstance(node, ast.FunctionDef)], [])
    assert not {name for name in imports(at_the_top, SOURCES) if name.split(".")[0] == "scipy"}


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_nothing_is_ever_unpickled(module):
    assert not UNPICKLERS & set(identifiers(SOURCES[module]))
    allowing = [
        f"line {node.value.lineno}: allow_pickle={ast.unparse(node.value)}"
        for node in ast.walk(SOURCES[module])
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
    ]
    assert not allowing


@pytest.mark.parametrize(
    ("importer", "imported", "complaint"),
    [
        ("branchynet.net", "branchynet.links", None),
        ("branchynet.links", "branchynet.links.res_block", None),
        ("branchynet.links", "branchynet.net", "not from a lower line"),
        ("branchynet.machine.devices", "branchynet.registry", "not from a lower line"),
        ("branchynet.net", "branchynet", "not from a lower line"),
        ("branchynet", "branchynet.net", None),
        ("branchynet.net", "numpy", None),
        ("branchynet.net", ".links", "write the whole name"),
        ("branchynet.net", "networks.lenet_mnist", "branchynet knows no network"),
        ("branchynet.__main__", "networks", None),
        ("networks.zoo", "branchynet.trained", None),
        ("networks.lenet_mnist", "branchynet.links", None),
        ("networks.lenet_mnist", "branchynet.training", "networks may import only"),
        ("networks.lenet_mnist", "experiments.lenet_mnist", "nothing imports experiments"),
        ("experiments.lenet_mnist", "branchynet.experiment", None),
        ("experiments.lenet_mnist", "networks.lenet_mnist", None),
    ],
)
def test_the_rules_tell_right_from_wrong(importer, imported, complaint):
    found = check_import(importer, imported)
    assert found is None if complaint is None else complaint in found


def test_imports_are_found_wherever_they_stand():
    source = """
import a.b
from c import module, name
from . import d
def f():
    from e import g
if TYPE_CHECKING:
    import h
"""
    tree, modules = ast.parse(source), {"c.module"}
    assert imports(tree, modules) == {"a.b", "c.module", "c", ".", "e", "h"}
    assert imports(tree, modules, runtime_only=True) == {"a.b", "c.module", "c", ".", "e"}


def test_a_circle_is_found():
    sources = {name: ast.parse(f"import {imported}") for name, imported in [("a", "b"), ("b", "c"), ("c", "a")]}
    assert sorted(set(find_cycle(sources))) == ["a", "b", "c"]
    del sources["c"]
    assert find_cycle(sources) == []


def test_what_a_run_does_not_use_is_not_loaded():
    """Loading LeNet's experiment, and answering with it, loads no GAN and no meta-learning."""
    code = (
        "import sys; sys.path[:0] = ['experiments']; import lenet_mnist, numpy, networks;"
        "from branchynet import run; net = networks.load('lenet').net;"
        "run(net, numpy.zeros((1, 1, 28, 28), 'f'), 0.5);"
        "print([name for name in sys.modules if name.startswith('branchynet') and name.endswith(('opengan', 'meta'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")

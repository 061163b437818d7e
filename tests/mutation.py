"""What a mutant is: a module with one operator or number changed, and how it is imported in place of the module."""

import ast
import importlib.machinery
import importlib.util
import os
import pathlib

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "branchynet"
_PAIRS = [
    (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn),
    (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr), (ast.And, ast.Or),
]  # fmt: skip
_OTHER = {**dict(_PAIRS), **{other: one for one, other in _PAIRS}}


def places(tree):
    """(node, function that changes it, words) of every place that can be changed, but for texts."""
    for node in _walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            other = not node.value if isinstance(node.value, bool) else node.value + 1
            yield node, lambda node=node, other=other: setattr(node, "value", other), f"{node.value}: {other}"
            continue
        operator = node.ops[0] if isinstance(node, ast.Compare) else getattr(node, "op", None)
        if isinstance(operator, ast.Not):
            yield node, lambda node=node: _without_not(node), f"{ast.unparse(node)}: without not"
            continue
        other = _OTHER.get(type(operator))
        if other is None:
            continue
        change = (
            (lambda node=node, other=other: node.ops.__setitem__(0, other()))
            if isinstance(node, ast.Compare)
            else (lambda node=node, other=other: setattr(node, "op", other()))
        )
        yield node, change, f"{ast.unparse(node)}: {other.__name__}"


def _walk(node):
    """All nodes but those of annotations, which nobody evaluates."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child)


def _without_not(node):
    """`not not x`: the place of a node cannot be given to another, but one can be put within it."""
    node.operand = ast.copy_location(ast.UnaryOp(ast.Not(), node.operand), node.operand)


class Mutated(importlib.machinery.SourceFileLoader):
    """Finds one module of the package, and loads a changed tree in its place.

    Args:
        path: of the module, relative to the package.
        tree: what is compiled in its place, as of `ast.parse`.
    """

    def __init__(self, path, tree):
        super().__init__(module_name(path), str(PACKAGE / path))
        self._tree = tree

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            is_package = self.path.endswith("__init__.py")
            return importlib.util.spec_from_file_location(
                name,
                self.path,
                loader=self,
                submodule_search_locations=[os.path.dirname(self.path)] * is_package or None,
            )
        return None

    def get_code(self, name):
        return compile(self._tree, self.path, "exec", dont_inherit=True)


def module_name(path):
    """What a module is imported by; path: of it, relative to the package."""
    return "branchynet." + path[: -len(".py")].replace("/", ".").removesuffix(".__init__")

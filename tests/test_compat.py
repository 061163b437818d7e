"""Chainer 7.8.1 on today's Python and NumPy: quiet to import, cured where it broke, and NumPy left alone."""

import os
import pathlib
import subprocess
import sys
import unittest

import chainer
import numpy as np
import pytest
from chainer import functions as F

from branchynet import _compat

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run_python(code, tmp_path, *options):
    """Runs code in a fresh interpreter that sees this project, and nothing compiled before."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_import_says_nothing_and_warns_of_nothing(tmp_path):
    result = run_python("import branchynet", tmp_path, "-W", "error", "-X", f"pycache_prefix={tmp_path}")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_networks_can_be_imported_first(tmp_path):
    result = run_python("import networks.lenet_mnist", tmp_path)
    assert result.returncode == 0, result.stderr


def test_import_leaves_warnings_and_numpy_as_they_were(tmp_path):
    code = """
import types, warnings
import numpy as np
filters, names = list(warnings.filters), dict(vars(np))
import branchynet, chainer
assert warnings.filters == filters, warnings.filters
changed = [name for name in names if vars(np).get(name) is not names[name]]
added = [name for name in vars(np) if name not in names and not isinstance(vars(np)[name], types.ModuleType)]
assert (changed, added) == ([], []), (changed, added)
"""
    result = run_python(code, tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (
            "import sys, types; sys.modules['chainer'] = types.ModuleType('chainer')",
            "Chainer was imported before branchynet: import branchynet first",
        ),
        (
            "import importlib.metadata as metadata; metadata.version = lambda name: '6.0.0'",
            "branchynet expected Chainer 7.8.1, got Chainer 6.0.0",
        ),
        (
            "import importlib.metadata as metadata\n"
            "def version(name): raise metadata.PackageNotFoundError(name)\n"
            "metadata.version = version",
            "branchynet needs Chainer 7.8.1, which is not installed",
        ),
    ],
    ids=["imported first", "of another version", "not installed"],
)
def test_a_chainer_that_cannot_be_cured_is_refused(before, message, tmp_path):
    result = run_python(f"{before}\nimport branchynet", tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"ImportError: {message}")


@pytest.fixture
def module_to_cure(tmp_path, monkeypatch):
    """Writes a module for the import hook to cure; returns a function (source, cures) -> the imported module."""

    def write_and_import(source, cures):
        (tmp_path / "a_module_to_cure.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(_compat.CURES, "a_module_to_cure", cures)
        monkeypatch.delitem(sys.modules, "a_module_to_cure", raising=False)
        return __import__("a_module_to_cure")

    yield write_and_import
    sys.modules.pop("a_module_to_cure", None)


def test_a_cure_changes_the_module_but_not_its_file(module_to_cure, tmp_path):
    module = module_to_cure("x = 'ill'\n", (("'ill'", "'well'"),))
    assert module.x == "well"
    assert (tmp_path / "a_module_to_cure.py").read_text() == "x = 'ill'\n"
    assert not list(tmp_path.rglob("*.pyc"))


def test_text_that_is_not_chainers_is_refused(module_to_cure):
    with pytest.raises(ImportError, match=r"a_module_to_cure: expected the text of Chainer 7\.8\.1, but \"'ill'\" is"):
        module_to_cure("x = 'other'\n", (("'ill'", "'well'"),))


@pytest.mark.parametrize("name", sorted(_compat.CURES))
def test_every_cured_module_imports(name):
    assert isinstance(__import__(name, fromlist=["*"]).__loader__, _compat._CuredLoader)


def test_no_cured_module_needs_what_has_gone(tmp_path):
    code = f"""
import importlib, sys
import branchynet
for name in {sorted(_compat.CURES)}:
    importlib.import_module(name)
sys.platform = "darwin"  # where Chainer would ask numpy.distutils for the BLAS in use
sys.modules["chainer._environment_check"].check()
assert not {{"pkg_resources", "numpy.distutils"}} & set(sys.modules)
"""
    result = run_python(code, tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_as_strided_goes_forward_and_back(dtype):
    x = chainer.Variable(np.arange(6, dtype=dtype))
    y = F.as_strided(x, (3, 2), (1, 1))  # overlapping pairs (0, 1), (1, 2), (2, 3)
    y.grad = np.ones_like(y.array)
    y.backward()
    np.testing.assert_array_equal(y.array, [[0, 1], [1, 2], [2, 3]])
    np.testing.assert_array_equal(x.grad, [1, 2, 2, 1, 0, 0])


def test_resize_images_is_bilinear():
    x = chainer.Variable(np.array([[[[0, 2], [4, 6]]]], dtype=np.float32))
    y = F.resize_images(x, (3, 3))
    y.grad = np.ones_like(y.array)
    y.backward()
    np.testing.assert_allclose(y.array[0, 0], [[0, 1, 2], [2, 3, 4], [4, 5, 6]])
    np.testing.assert_allclose(x.grad[0, 0], np.full((2, 2), 9 / 4))


def test_deconvolution_has_a_gradient_of_w_alone(rng):
    x = rng.normal(size=(2, 3, 4, 4)).astype(np.float32)  # needs no gradient
    W = chainer.Variable(rng.normal(size=(3, 2, 3, 3)).astype(np.float32))
    y = F.deconvolution_2d(x, W)
    y.grad = np.ones_like(y.array)
    y.backward()
    # Each weight meets each pixel once.
    np.testing.assert_allclose(W.grad, np.broadcast_to(x.sum(axis=(0, 2, 3))[:, None, None, None], W.shape), rtol=1e-4)


def test_categorical_gives_the_log_probability_of_each_event():
    p = np.array([[0.1, 0.9], [0.75, 0.25]], dtype=np.float32)
    log_prob = chainer.distributions.Categorical(p=p).log_prob(np.array([1, 0]))
    np.testing.assert_allclose(log_prob.array, np.log([0.9, 0.75]), rtol=1e-6)


def test_chainers_own_test_tools_work():
    from chainer import gradient_check, testing

    x = np.array([0.5, 2.0])
    gradient_check.check_backward(F.square, x, np.ones_like(x), dtype=np.float64)
    assert testing.with_requires("numpy>=1")(lambda: "ran")() == "ran"
    with pytest.raises(unittest.SkipTest, match="requires: no-such-package"):
        testing.with_requires("no-such-package")(lambda: "ran")()


def test_local_response_normalisation_stays_float32(rng):
    y = F.local_response_normalization(rng.normal(size=(2, 5, 3, 3)).astype(np.float32))
    assert y.dtype == np.float32

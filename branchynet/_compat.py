"""Chainer 7.8.1 on today's Python and NumPy: cures its source as it is imported.

Chainer's last release predates NumPy 2, Python 3.12 and setuptools 82. A handful of its modules use
names that have gone since. An import hook edits exactly those lines while the modules load, so that
neither NumPy nor the installed Chainer is changed. The hook is scoped to the modules in `CURES` and
checked against the one Chainer version it was written for.

`branchynet` runs this module before anything else; a program that also imports Chainer itself
imports `branchynet` first.
"""

import importlib.machinery
import importlib.metadata
import sys
import warnings

CHAINER_VERSION = "7.8.1"

# `as_strided` wants the sized integer and float types that np.sctypes used to list.
_INTEGER_TYPES = "(np.int8, np.int16, np.int32, np.int64)"
_FLOAT_TYPES = "(np.float16, np.float32, np.float64)"

# What chainer.testing asks of pkg_resources: "is this requirement installed?"
_WORKING_SET = """
class pkg_resources:
    class ResolutionError(Exception):
        pass

    class WorkingSet:
        def require(self, *requirements):
            import importlib.metadata
            import re
            for requirement in requirements:
                name = re.match('[A-Za-z0-9._-]+', requirement).group()
                try:
                    importlib.metadata.version(name)
                except importlib.metadata.PackageNotFoundError:
                    raise pkg_resources.ResolutionError(requirement)
"""

# module -> ((text in Chainer 7.8.1, what replaces it), ...)
CURES = {
    # numpy.distutils left with Python 3.12, pkg_resources with setuptools 82; both only feed warnings
    # about macOS and about mismatched optional packages.
    "chainer._environment_check": (
        ("import numpy.distutils.system_info\nimport pkg_resources\n", ""),
        ("    _check_osx_numpy_backend()\n", ""),
        ("    _check_optional_dependencies()\n", ""),
    ),
    "chainer.functions.array.as_strided": (
        ("np.sctypes['int']", _INTEGER_TYPES),
        ("np.sctypes['float']", _FLOAT_TYPES),
    ),
    "chainer.functions.array.resize_images": (("dtype=numpy.float)", "dtype=float)"),),
    "chainer.testing.helper": (("import pkg_resources\n", _WORKING_SET),),
    "chainer.testing.doctest_helper": (("import pkg_resources\n", _WORKING_SET),),
    # The backward pass asks for the shape of x, not for x, which is absent when it needs no gradient.
    "chainer.functions.connection.deconvolution_2d": (
        ("self._set_cover_all(x, W)", "self._set_cover_all(self.inputs[0].shape, W.shape)"),
    ),
    # Its kernels use `half`, which CuPy 14 no longer defines for every kernel.
    "chainermn.communicators._memory_utility": (
        ("#include <cupy/carray.cuh>", "#include <cupy/carray.cuh>\n#include <cuda_fp16.h>"),
    ),
    # meshgrid returns a tuple in NumPy 2.
    "chainer.distributions.categorical": (("self.log_p[mg + [", "self.log_p[[*mg] + ["),),
}


class _CuredLoader(importlib.machinery.SourceFileLoader):
    """Loads one of Chainer's modules with its cures applied; never reads or writes cached bytecode."""

    def get_code(self, fullname):
        source = self.get_data(self.path).decode("utf-8")
        for old, new in CURES[fullname]:
            if old not in source:
                raise ImportError(
                    f"{fullname}: expected the text of Chainer {CHAINER_VERSION}, but {old!r} is not in {self.path}"
                )
            source = source.replace(old, new)
        return self.source_to_code(source.encode("utf-8"), self.path)


class _CureFinder:
    """A `sys.meta_path` finder for the modules in `CURES`; every other import passes it by."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if fullname not in CURES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _CuredLoader(fullname, spec.origin)
        return spec


def import_chainer():
    """Imports Chainer 7.8.1 with its cures, quietly.

    Raises:
        ImportError: another version of Chainer is installed, none is, or Chainer was imported before
            the cures were in place.
    """
    if any(finder is _CureFinder for finder in sys.meta_path):
        return
    try:
        version = importlib.metadata.version("chainer")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(
            f"branchynet needs Chainer {CHAINER_VERSION}, which is not installed: see 'Without make' in the README"
        ) from None
    if version != CHAINER_VERSION:
        raise ImportError(f"branchynet expected Chainer {CHAINER_VERSION}, got Chainer {version}")
    if "chainer" in sys.modules:
        raise ImportError(
            "Chainer was imported before branchynet: import branchynet first, which makes Chainer run on this Python"
        )
    sys.meta_path.insert(0, _CureFinder)
    with warnings.catch_warnings():
        # Chainer tells at import that cuDNN and NCCL are missing; neither is needed here.
        warnings.simplefilter("ignore")
        import chainer
    # CuPy 14 has no cuDNN, and Chainer would say so again with the first array that goes to the GPU.
    chainer.backends.cuda.check_cuda_available._already_warned = True


import_chainer()

"""Packaging of branchynet: what it needs, and the extras. Which Python, and the settings of tools: pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent


def read(name):
    """The text of a file beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


def version():
    """The version that the package states, read without importing it: Chainer may not be installed yet."""
    return re.search(r'^__version__ = "([^"]+)"$', read("branchynet/__init__.py"), re.MULTILINE).group(1)


# The second engine of compiled inference, and the export.
ONNX = ["onnx>=1.15", "onnxruntime>=1.17"]
# An engine that is fast in low precision.
OPENVINO = [*ONNX, "openvino>=2024.4"]
# A C compiler, where the machine has none.
NATIVE = ["ziglang>=0.13"]
# The report of a run: templates, and Vega-Lite's JavaScript, which goes into the file.
REPORT = ["jinja2>=3", "vl-convert-python>=1.7"]
# Training by several processes: what ChainerMN speaks MPI with, and an MPI that pip can install, with its mpiexec.
MPI = ["mpi4py>=4", "mpich>=4; sys_platform != 'win32'"]
# What several GPUs average gradients with; the version that CuPy's wheels were built for, or a newer one. Like CuPy, it
# has a package for each CUDA: with cupy-cuda13x it is nvidia-nccl-cu13.
NCCL = ["nvidia-nccl-cu12>=2.18.1,<3; sys_platform == 'linux'"]

setup(
    name="branchynet",
    version=version(),
    description="BranchyNet (deep networks with early exits, ICPR 2016) for Chainer",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["branchynet", "branchynet.*", "networks", "networks.*"]),
    package_data={
        "branchynet.functions": ["*.c"],
        "branchynet.inference.cuda": ["*.cuh"],
        "branchynet.inference.native": ["*.h"],
        "branchynet.machine": ["*.h"],
        "branchynet.report.html": ["templates/*"],
    },
    install_requires=[
        "chainer==7.8.1",  # the framework; branchynet/_compat.py is written for this one version
        "filelock>=3",  # two programs may fetch the same data set at once
        "matplotlib>=3.5",  # the figures
        "numpy>=1.26",
        "pillow>=9.1",  # CIFAR-10 from its PNG package; pictures of one's own
        "scipy>=1.11",  # thresholds with a guarantee (the binomial distribution), fitted confidence measures
        "threadpoolctl>=3",  # how many threads BLAS uses, without environment variables
        "tqdm>=4",  # the progress bar
    ],
    extras_require={
        # CuPy 14 needs Python 3.10 and takes the CUDA libraries from its extra "ctk" (1.7 GB). CuPy 13, the last one
        # for Python 3.9, has no such extra: there CUDA 12 is installed by hand.
        "gpu": [
            "cupy-cuda12x[ctk]>=14; python_version >= '3.10'",
            "cupy-cuda12x>=13.6,<14; python_version < '3.10'",
        ],
        "native": NATIVE,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "mpi": MPI,
        "nccl": NCCL,
        "report": REPORT,
        "bench": [*OPENVINO, "torch"],  # what the speed is compared with
        # A formatter's output changes from one minor version to the next, so ruff is held to one. xdist: on all cores.
        "test": [*OPENVINO, *MPI, *REPORT, "hypothesis>=6", "pytest>=7", "pytest-xdist>=3", "ruff~=0.17.6"],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)

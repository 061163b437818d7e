"""Exported C on other machines: built by PyPI's clang, run by an emulator, held against the reference path.

Skipped where PyPI's `ziglang`, qemu or node is missing; `make c-targets` installs and runs all.
"""

import importlib.util
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import networks
from branchynet import run
from branchynet.inference.c_export import export_c

WASI = pathlib.Path(__file__).with_name("wasi.mjs")
# Target: (the compiler's name of it and flags, the command that runs its programs).
TARGETS = {
    "x86_64 without AVX": (["x86_64-linux-musl", "-mcpu=x86_64"], []),
    "aarch64": (["aarch64-linux-musl"], ["qemu-aarch64"]),
    "32-bit ARM with NEON": (["arm-linux-musleabihf", "-mcpu=cortex_a15"], ["qemu-arm"]),
    "WebAssembly with SIMD": (["wasm32-wasi", "-msimd128"], ["node", "--no-warnings", str(WASI)]),
}
N_IMAGES = 1000


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the released B-LeNet as C and images that leave at both exits; and what the reference answers."""
    folder, trained = tmp_path_factory.mktemp("c"), networks.load("lenet")
    rng = np.random.default_rng(0)
    # Noise at many strengths about a bright stroke: some of it looks like a digit, most does not.
    images = rng.integers(0, 256, (N_IMAGES, *trained.net.sample_shape)) * rng.random((N_IMAGES, 1, 1, 1))
    for image, left in zip(images, rng.integers(4, 22, N_IMAGES)):
        image[0, 4:24, left : left + 3] = 255
    images = images.astype(np.uint8)
    expected = run(trained.net, trained.transform(images), trained.thresholds)
    assert np.bincount(expected.exits, minlength=2).min() > 100
    export_c(trained.net, trained.thresholds, folder, trained.transform)
    (folder / "images").write_bytes(images.tobytes())
    return folder, expected


@pytest.mark.parametrize("target", TARGETS)
def test_every_answer_is_that_of_the_reference_path(exported, target):
    (folder, expected), (flags, runner) = exported, TARGETS[target]
    missing = [name for name in runner[:1] if shutil.which(name) is None]
    missing += ["ziglang"] * (importlib.util.find_spec("ziglang") is None)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; in the project's folder: make c-targets")
    words = [sys.executable, "-m", "ziglang", "cc", "-target", *flags, "-std=c11", "-O3", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*words, "main.c", "branchynet_model.c", "-o", "classify", "-lm"], cwd=folder, check=True)
    program = [*runner, "./classify"]
    with open(folder / "images", "rb") as images:
        output = subprocess.run(program, cwd=folder, stdin=images, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in output.splitlines()]
    assert [int(row[0]) for row in rows] == expected.labels.tolist()
    assert [int(row[2]) - 1 for row in rows] == expected.exits.tolist()
    np.testing.assert_allclose([float(row[4]) for row in rows], expected.scores, atol=1e-5)

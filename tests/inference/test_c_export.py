"""The export as C answers as the reference path, whatever compiles it; what cannot be exported is refused."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from tiny import mixed_thresholds, tiny_net, tiny_samples

from branchynet import run
from branchynet.confidence.calibration import CalibratedEntropy
from branchynet.datasets import TRANSFORMS, scale
from branchynet.datasets.transforms import Normalise
from branchynet.errors import CompileError, DataError, OutputError, ThresholdError
from branchynet.inference import c_export, compile_plain
from branchynet.inference.c_export import export_c

from .test_tiles import needs_compiler, wide_net

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=fast")


def compilers_here():
    """Commands of every C compiler that is here: other than gcc, clang itself or PyPI's."""
    found = [(name,) for name in ("gcc", "clang") if shutil.which(name)]
    try:
        import ziglang  # noqa: F401
    except ImportError:
        return found
    return [*found, (sys.executable, "-m", "ziglang", "cc")]


CLASS_NAMES = ('dark "or" so??/', "Käse0\\", "猫")
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MORE = [(("-O2", "-DWIDTH=1"), "normalise"), (("-O2", "-DWIDTH=4"), "scale"), (SANITIZED, "normalise")]
BUILDS = [(command, ("-O2", "-march=native"), "scale") for command in compilers_here()]
BUILDS += [(command, *more) for command in compilers_here()[:1] for more in MORE]


@needs_compiler
@pytest.mark.parametrize("build", [tiny_net, wide_net])
@pytest.mark.parametrize(("command", "flags", "name"), BUILDS)
def test_exported_c_answers_as_the_reference_path(tmp_path, command, flags, name, build):
    if flags is SANITIZED and command[-1] == "cc":
        pytest.skip("PyPI's clang brings no sanitizers")
    net, images = build(), tiny_samples(40).images
    transform = TRANSFORMS[name].fit(tiny_samples(200, seed=1).images)
    x = transform(images)
    thresholds = mixed_thresholds(net, x)
    export_c(net, thresholds, tmp_path, transform, class_names=CLASS_NAMES)
    words = [*command, *WARNINGS, *flags, "main.c", "branchynet_model.c", "-o", "classify", "-lm"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    (tmp_path / "images").write_bytes(images.tobytes())
    output = subprocess.run(["./classify", "images"], cwd=tmp_path, capture_output=True, check=True).stdout.decode()
    expected = run(net, x, thresholds)
    found = [line.replace(" exit ", "|").replace(" score ", "|").split("|") for line in output.splitlines()]
    assert [(label, int(exit_number)) for label, exit_number, _ in found] == [
        (CLASS_NAMES[label], exit_index + 1) for label, exit_index in zip(expected.labels, expected.exits)
    ]
    np.testing.assert_allclose([float(score) for *_, score in found], expected.scores, atol=1e-4)


def classified(folder, images):
    """What an exported program, built by its Makefile, says of each image: (label, exit)."""
    subprocess.run(["make", "-s"], cwd=folder, check=True)
    told = subprocess.run(["./classify"], input=images.tobytes(), cwd=folder, capture_output=True, check=True).stdout
    return [(int(label), int(exit_number)) for label, _, exit_number, *_ in map(str.split, told.decode().splitlines())]


@needs_compiler
def test_the_makefile_builds_it_and_thresholds_may_be_changed_at_run_time(tmp_path):
    export_c(tiny_net(), 0.0, tmp_path, scale)
    main = (tmp_path / "main.c").read_text()
    changed = main.replace("branchynet_prepare(&work);", "branchynet_thresholds[0] = 9; branchynet_prepare(&work);")
    (tmp_path / "main.c").write_text(changed)
    assert [exit_number for _, exit_number in classified(tmp_path, tiny_samples(3).images)] == [1, 1, 1]


@needs_compiler
def test_the_plain_network_can_be_exported_too(tmp_path):
    net, images = tiny_net(), tiny_samples(20).images
    export_c(net, (), tmp_path, scale, plain=True, measure=CalibratedEntropy())  # not fitted: it is not looked at
    labels = compile_plain(net).run(scale(images), ()).labels.tolist()
    assert classified(tmp_path, images) == [(label, 1) for label in labels]


@needs_compiler
@pytest.mark.parametrize(
    ("second_image", "message"),
    [(bytes(14), "expected images of 36 bytes, got 14 at the end"), (b"\xff" * 36, "expected finite logits and")],
    ids=["a short image", "infinite logits"],
)
def test_an_exported_program_says_why_it_does_not_answer(tmp_path, second_image, message):
    net = tiny_net()
    net.exits[0].layers[-1].W.array[...] = 1e38
    export_c(net, 0.0, tmp_path, scale)
    subprocess.run(["make", "-s"], cwd=tmp_path, check=True)
    result = subprocess.run(["./classify"], input=bytes(36) + second_image, cwd=tmp_path, capture_output=True)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 1) and message in result.stderr.decode()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_threshold_that_float32_does_not_hold_is_infinity(tmp_path):
    export_c(tiny_net(), 1e300, tmp_path, scale)
    expected = "branchynet_thresholds[BRANCHYNET_N_EXITS] = {INFINITY, INFINITY, 0.0f};"
    assert expected in (tmp_path / "branchynet_model.c").read_text()


@pytest.mark.parametrize("target", c_export.TARGETS)
def test_a_target_is_flags_in_the_makefile_alone(tmp_path, target):
    export_c(tiny_net(), 0.5, tmp_path / target, scale, target=target)
    export_c(tiny_net(), 0.5, tmp_path / "other", scale)
    assert c_export.TARGETS[target] in (tmp_path / target / "Makefile").read_text()
    for name in ("branchynet_model.c", "branchynet_model.h", "main.c"):
        assert (tmp_path / target / name).read_text() == (tmp_path / "other" / name).read_text()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target": "z80"}, CompileError, "target: expected one of native, avx512, .*, got 'z80'"),
        ({"transform": TRANSFORMS["zca"].fit(tiny_samples(9).images)}, CompileError, "transform scale or normalise"),
        ({"transform": Normalise((0.5, 0.5), (0.2, 0.2))}, DataError, r"normalise: expected images \(N, 2, H, W\)"),
        ({"thresholds": [1, 2, 3]}, ThresholdError, "expected 2"),
        ({"measure": "patience"}, CompileError, "not patience"),
        ({"folder": "/proc/nowhere"}, OutputError, "expected a folder that can be written"),
        ({"class_names": ["a", "b"]}, CompileError, "class names: expected 3 texts, got"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path, changes, error, message):
    arguments = {"thresholds": 0.5, "folder": tmp_path, "transform": scale, **changes}
    with pytest.raises(error, match=message):
        export_c(tiny_net(), **arguments)

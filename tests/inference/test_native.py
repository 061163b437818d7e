"""What the native engine is made of: images, C that other compilers take, the cache, and the export as C."""

import ctypes
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from tiny import assert_same_answers, mixed_thresholds, tiny_batch, tiny_net, tiny_samples

import networks
from branchynet import run
from branchynet.confidence import MEASURES
from branchynet.confidence.calibration import CalibratedEntropy
from branchynet.confidence.direct import Energy
from branchynet.datasets import TRANSFORMS, scale
from branchynet.datasets.transforms import Normalise
from branchynet.errors import CompileError, DataError, NetworkError, OutputError, ThresholdError
from branchynet.inference import c_export, compile_net, compile_plain, record_logits
from branchynet.inference.c_export import export_c
from branchynet.inference.engines import check_engine
from branchynet.inference.native.images import Image
from branchynet.inference.native.program import Program
from branchynet.inference.plan import make_plan
from branchynet.inference.reference import LARGEST
from branchynet.machine import compilers
from branchynet.machine.devices import get_device

from .test_tiles import needs_compiler, wide_net

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=fast")


def test_an_image_says_where_its_numbers_lie():
    image = Image.interleaved("a", (20, 2, 3), pad=(1, 2))
    assert (image.pixel, image.row, image.first) == (32, 7 * 32, 7 * 32 + 2 * 32)
    planes = Image.planes("b", (2, 4, 5), pad=(1, 1))
    assert (planes.pixel, planes.row, planes.plane, planes.first) == (1, 6, 36, 7)
    assert planes.at() == "work->b + 7" and planes.at(-1, -1) == "work->b"


@pytest.mark.parametrize(("name", "planar"), [("lenet", True), ("alexnet-paper", False), ("resnet-20", False)])
def test_few_channels_go_along_rows_and_many_across_channels(name, planar):
    assert Program(make_plan(networks.load(name).net)).planar == planar


def test_blocks_of_one_shape_share_their_functions():
    functions = Program(make_plan(networks.load("resnet-20").net)).functions
    names = [name for name in functions if name.startswith("convolution_16x30x30_to_16x30x30")]
    assert len(names) == 2, "of six, three with ReLU and three without"


@needs_compiler
@pytest.mark.parametrize("name", ["entropy", "calibrated-entropy", "max-probability", "margin", "energy"])
def test_scores_are_those_of_the_measure(name):
    net, (x, labels) = tiny_net(), tiny_batch(40)
    measure = {
        "calibrated-entropy": lambda: CalibratedEntropy().fit(record_logits(net, x), labels),
        "energy": lambda: Energy(tau=0.7),
    }.get(name, MEASURES.get(name))()
    thresholds = mixed_thresholds(net, x, measure)
    expected = run(net, x, thresholds, measure=measure)
    answers = compile_net(net, engine="native", measure=measure).run(x, thresholds)
    np.testing.assert_array_equal(answers.exits, expected.exits)
    np.testing.assert_allclose(answers.scores, expected.scores, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["patience", "openmax"])
def test_a_measure_that_the_kernels_do_not_know_is_named(name):
    measure = MEASURES.get(name)()
    measure = measure.fit(*(np.eye(3, dtype=np.float32)[None].repeat(3, axis=0), np.arange(3)))
    with pytest.raises(CompileError, match=f"not {name}"):
        compile_net(tiny_net(), engine="native", measure=measure)
    assert compile_net(tiny_net(), engine="auto", measure=measure).engine != "native"


@needs_compiler
@pytest.mark.parametrize("fast", [(), ("-funsafe-math-optimizations",)], ids=["IEEE", "as of target arm"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 2e18, -2e18])
def test_a_number_that_is_not_finite_or_too_large_is_refused_with_its_sample(value, fast, monkeypatch):
    flags = (*compilers.native_flags(), *fast)
    monkeypatch.setattr(compilers, "native_flags", lambda: flags)
    compiled = compile_net(tiny_net(), engine="native")
    for place in (14, 35):  # of 36: in a vector, and behind the last
        x, _ = tiny_batch(5)
        x[3].flat[place] = value
        with pytest.raises(NetworkError, match=r"at most 1e\+18, got NaN or infinity in sample 3"):
            compiled.run(x, 0.5)


@needs_compiler
@pytest.mark.parametrize(
    ("largest", "message"), [(LARGEST, "for sample 3: it is too large"), (2 * LARGEST, r"at most 1e\+18.*in sample 3")]
)
def test_it_tells_a_sample_that_is_too_large_from_one_that_may_not_be(largest, message):
    net, (x, _) = tiny_net(), tiny_batch(5)
    net.exits[0].layers[-1].W.array[...] = 1e30
    x[3] = largest
    with pytest.raises(NetworkError, match=message):
        compile_net(net, engine="native").run(x, 0.5)


@needs_compiler
@pytest.mark.parametrize("threads", [2, 3])
def test_a_batch_that_is_dealt_out_to_threads_is_answered_alike(threads):
    net, (x, _) = tiny_net(), tiny_batch(50)
    compiled, expected = compile_net(net, engine="native", threads=threads), run(net, x, 0.9)
    for _ in range(3):
        assert_same_answers(compiled.run(x, 0.9), expected)
    x[48] = np.nan
    with pytest.raises(NetworkError, match="NaN or infinity in sample 48"):
        compiled.run(x, 0.9)


# ---- Compiler and cache ----


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache of compiled libraries."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "branchynet" / "native"


def value_of(path):
    return ctypes.CDLL(str(path)).value()


@needs_compiler
def test_a_library_is_compiled_once_for_source_and_flags(cache):
    source = "int value(void) { return 7; }"
    first = compilers.compile_library(source)
    made = first.stat().st_mtime_ns
    assert value_of(first) == 7 and compilers.compile_library(source).stat().st_mtime_ns == made
    others = {compilers.compile_library(source, ("-DOTHER",)), compilers.compile_library(source.replace("7", "8"))}
    assert len({first, *others}) == 3 == len(list(cache.iterdir()))


@needs_compiler
def test_many_may_ask_for_the_same_library_at_once(cache):
    source, paths = "int value(void) { return 9; }", []
    askers = [threading.Thread(target=lambda: paths.append(compilers.compile_library(source))) for _ in range(4)]
    [asker.start() for asker in askers]
    [asker.join() for asker in askers]
    assert len(set(paths)) == 1 and len(paths) == 4 and value_of(paths[0]) == 9
    assert [path.name for path in cache.iterdir()] == [paths[0].name]


@needs_compiler
def test_a_cache_that_others_can_write_to_is_not_used(cache):
    cache.mkdir(parents=True)
    os.chmod(cache, 0o777)
    with pytest.raises(CompileError, match="this user alone can write to"):
        compilers.compile_library("int value(void) { return 1; }")


@needs_compiler
def test_what_the_compiler_says_is_told(cache):
    with pytest.raises(CompileError, match="failed: .*error"):
        compilers.compile_library("this is no C")


def test_without_a_compiler_the_next_engine_is_taken(monkeypatch):
    monkeypatch.setattr(compilers, "find_compiler", lambda: None)
    with pytest.raises(CompileError, match="no C compiler is here: install gcc or clang"):
        compile_net(tiny_net(), engine="native")
    assert compile_net(tiny_net()).engine in ("onnxruntime", "arrays")


@pytest.mark.skipif(os.name != "posix", reason="commands of another kind")
@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("/no/such -x", "the C compiler /no/such cannot be run"),
        ("false", "the C compiler false failed"),
        ("true", "expected to leave there what true compiles"),
        ("gcc 'x", 'CC: expected a command, got "gcc \'x"'),
    ],
)
def test_a_compiler_that_does_not_work_is_missed_before_anything_is_computed(command, problem, cache, monkeypatch):
    monkeypatch.setenv("CC", command)
    monkeypatch.setattr(compilers, "find_compiler", compilers.find_compiler.__wrapped__)
    with pytest.raises(CompileError, match=problem):
        check_engine("native", get_device("cpu"))
    with pytest.raises(CompileError, match=problem):
        compile_net(tiny_net(), engine="native")


@needs_compiler
def test_a_library_that_the_machine_does_not_load_is_told(cache):
    source = "int value(void) { return 7; }"
    compilers.compile_library(source).write_bytes(b"of another machine")
    with pytest.raises(CompileError, match="expected a library that this machine loads"):
        compilers.load_library(source)


def test_the_compiler_is_the_one_that_cc_names(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -x")
    assert compilers.find_compiler.__wrapped__() == ("no-such-compiler", "-x")


# ---- Export as C ----


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
    export_c(net, (), tmp_path, scale, plain=True)
    labels = compile_plain(net).run(scale(images), ()).labels.tolist()
    assert classified(tmp_path, images) == [(label, 1) for label in labels]


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

"""What the native engine is made of: images, C, the compiler and its cache."""

import ctypes
import os
import threading

import numpy as np
import pytest
from tiny import assert_same_answers, mixed_thresholds, tiny_batch, tiny_net

import networks
from branchynet import run
from branchynet.confidence import MEASURES
from branchynet.confidence.calibration import CalibratedEntropy
from branchynet.confidence.direct import Energy
from branchynet.errors import CompileError, NetworkError
from branchynet.inference import compile_net, record_logits
from branchynet.inference.engines import check_engine
from branchynet.inference.native.images import Image
from branchynet.inference.native.program import Program
from branchynet.inference.plan import make_plan
from branchynet.inference.reference import LARGEST
from branchynet.machine import compilers
from branchynet.machine.devices import get_device

from .test_tiles import needs_compiler


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


# What -funsafe-math-optimizations of target "arm" is made of. That flag itself would also make the whole process, from
# the loading of the library on, take tiny numbers for 0.
UNSAFE = ("-fno-signed-zeros", "-fno-trapping-math", "-fassociative-math", "-freciprocal-math")


@needs_compiler
@pytest.mark.parametrize("fast", [(), UNSAFE], ids=["IEEE", "as of target arm"])
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
@pytest.mark.parametrize(
    ("module", "fact", "other"),
    [
        (compilers.platform, "machine", "aarch64"),
        (compilers.processor, "model", "Neoverse-N1"),
        (compilers.processor, "features", ("asimd", "sve")),
    ],
)
def test_a_library_of_another_processor_is_not_taken(cache, monkeypatch, module, fact, other):
    source = "int value(void) { return 7; }"
    here = compilers.compile_library(source, ())
    monkeypatch.setattr(module, fact, lambda: other)
    assert compilers.compile_library(source, ()) != here


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

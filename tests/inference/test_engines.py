"""How an engine is chosen and set up: its threads, its memory, and what is said where one cannot be had."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_net

from branchynet.errors import CompileError
from branchynet.inference import compile_net, compile_plain
from branchynet.inference import engines as room
from branchynet.inference.compiled import CompiledNet
from branchynet.inference.engines import check_engine, cuda, engine_classes, engine_names
from branchynet.inference.plan import make_plan
from branchynet.machine.devices import get_device

CPU = get_device("cpu")


def compiled_for(name, **settings):
    """The tiny network compiled for an engine; skipped, visibly, where that is missing."""
    if problem := engine_classes()[name].problem(CPU):
        pytest.skip(problem)
    return compile_net(tiny_net(), engine=name, **settings)


def test_the_first_choice_is_native_and_the_last_the_one_that_is_always_there():
    assert engine_names() == ("auto", "native", "cuda", "onnxruntime", "openvino", "arrays")


def test_one_thread_computes_unless_more_are_asked_for(monkeypatch):
    asked, make_engine = [], room.make_engine

    def noting(name, plan, device, threads, *rest):
        asked.append(threads)
        return make_engine("arrays", plan, device, threads, *rest)

    monkeypatch.setattr("branchynet.inference.compiled.make_engine", noting)
    net = tiny_net()
    compile_net(net), compile_plain(net), CompiledNet(make_plan(net)), compile_net(net, threads=3)
    assert asked == [1, 1, 1, 3]


def test_there_may_be_1024_threads_and_no_more():
    compiled_for("arrays", threads=1024)
    with pytest.raises(CompileError, match="threads: expected .* 1024, got 1025"):
        compiled_for("arrays", threads=1025)


@pytest.mark.parametrize("threads", [1, 2])
def test_sessions_of_onnxruntime_take_so_many_threads_for_one_operation_at_a_time(threads):
    for session in compiled_for("onnxruntime", threads=threads)._engine.sessions:
        options = session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)
        assert options.log_severity_level == 3, "errors alone"


@pytest.mark.parametrize("threads", [1, 2])
def test_models_of_openvino_take_so_many_threads_for_one_request_at_a_time(threads):
    engine = compiled_for("openvino", threads=threads)._engine
    for model in (*engine.models, *engine.single):
        found = [model.get_property(name) for name in ("NUM_STREAMS", "INFERENCE_NUM_THREADS")]
        assert found == [1, threads]
        assert model.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_a_processor_without_bfloat16_computes_in_float32_all_the_same(monkeypatch):
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setattr(openvino.Core, "get_property", lambda self, device, name: ["FP32", "INT8"])
    assert compiled_for("openvino").precision == "f32"
    with pytest.raises(CompileError, match="precision bf16: expected a processor"):
        compiled_for("openvino", precision="bf16")


# Numbers in float32: the sample, what the second and the third segment read, and three logits at each exit.
SAMPLE, SECOND, THIRD, LOGITS = 36, 72, 48, 3 * 3


@pytest.mark.parametrize(
    ("name", "n_numbers"), [("onnxruntime", SECOND + THIRD + LOGITS), ("openvino", SAMPLE + SECOND + THIRD + LOGITS)]
)
def test_the_memory_that_is_told_is_that_of_the_arrays_of_one_sample(name, n_numbers):
    assert compiled_for(name).n_bytes() == 4 * n_numbers


def test_native_memory_begins_where_a_cache_line_does_and_is_told_exactly():
    compiled = compiled_for("native")
    engine, workspace = compiled._engine, compiled._workspace()
    for memory in (engine.weights, workspace._memory):
        assert memory.ctypes.data % 64 == 0 and memory.dtype == np.float32
    assert len(workspace._memory) == engine.workspace_floats
    assert compiled.n_bytes() == 4 * (len(engine.weights) + engine.workspace_floats)


@pytest.mark.parametrize(("n_samples", "n_parts"), [(1, 0), (2, 0), (5, 0), (6, 3), (7, 3)])
def test_a_batch_is_dealt_out_where_each_thread_gets_two_samples_or_more(n_samples, n_parts, monkeypatch):
    compiled = compiled_for("native", threads=3)
    engine, parts = compiled._engine, []
    fill = engine.fill
    monkeypatch.setattr(engine, "fill", lambda x, T, answers, part: parts.append(part) or fill(x, T, answers, part))
    compiled.run(tiny_batch(n_samples)[0], 0.9)
    assert len(parts) == n_parts
    rows = [row for part in sorted(parts, key=lambda part: part.start) for row in range(part.start, part.stop)]
    assert rows == list(range(n_samples)) * (n_parts > 0)


@pytest.mark.parametrize("name", ["auto", "arrays"])
def test_an_engine_that_is_always_there_passes(name):
    check_engine(name, CPU)


def test_an_engine_of_another_device_says_which_it_computes_on():
    with pytest.raises(CompileError, match="the cuda engine computes on .*GPU"):
        check_engine("cuda", CPU)


@pytest.mark.parametrize(("capability", "is_known"), [("61", False), ("70", True), ("90", True), ("100", True)])
def test_gpus_before_volta_are_left_to_other_engines(capability, is_known):
    device = SimpleNamespace(xp=None, device=SimpleNamespace(compute_capability=capability))
    expected = "the cuda engine needs a GPU of compute capability 7.0 or above, got 6.1"
    assert cuda.CudaEngine.problem(device) == (None if is_known else expected)


def test_an_interrupted_wait_for_one_sample_ends_when_the_gpu_has_done():
    """What still runs would read the number of the next request, and answer that with this sample."""

    def interrupted(stream):
        raise KeyboardInterrupt

    workspace, waited = object.__new__(cuda._Workspace), []
    vars(workspace).update(
        _rule=None,
        _request=0,
        _sample=np.zeros((1, *SHAPE), np.float32),
        _messages=np.ones(5, np.int32),
        _launch=interrupted,
        _stream=SimpleNamespace(synchronize=lambda: waited.append(True)),
    )
    with pytest.raises(KeyboardInterrupt):
        workspace.answers(tiny_batch(1)[0], None)
    assert waited == [True] and not workspace._messages[2:].any()


@pytest.mark.parametrize(
    "use", [lambda name: check_engine(name, CPU), lambda name: compile_net(tiny_net(), engine=name)]
)
def test_an_engine_that_is_none_is_refused(use):
    with pytest.raises(CompileError, match=f"engine: expected one of {', '.join(engine_names())}, got 'tpu'"):
        use("tpu")


def test_packages_that_are_missing_are_named_with_the_extra_that_brings_them(monkeypatch):
    classes = engine_classes()
    monkeypatch.setattr(classes["openvino"], "packages", ("numpy", "no_such_one", "nor_this"))
    problem = classes["openvino"].problem(CPU)
    assert problem.startswith("the openvino engine needs no_such_one and nor_this; ") and "'.[openvino]'" in problem


@pytest.mark.parametrize("error", ["ImportError('libx.so')", "OSError('libx.so')", "TypeError('of another version')"])
def test_a_package_that_cannot_be_imported_is_missed_before_anything_is_computed(error, monkeypatch, tmp_path):
    (tmp_path / "broken_package.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(engine_classes()["onnxruntime"], "packages", ("numpy", "broken_package"))
    problem = re.escape(f"the onnxruntime engine needs broken_package, which is here and cannot be imported: {error}")
    with pytest.raises(CompileError, match=problem):
        check_engine("onnxruntime", CPU)
    with pytest.raises(CompileError, match=problem):
        compile_net(tiny_net(), engine="onnxruntime")

"""Engines in other precisions than float32: what they answer, and what cannot be had."""

import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import SHAPE, drawn_net, tiny_batch, tiny_net

from branchynet import Branch
from branchynet.errors import CompileError
from branchynet.inference import compile_net, compile_plain, record_exits
from branchynet.inference.engines import engine_classes
from branchynet.links import FL, Convolution2D, ResBlock
from branchynet.machine.devices import get_device

CPU = get_device("cpu")
ENGINES = {name: engine for name, engine in engine_classes().items() if engine.problem(CPU) is None}
INT8 = [name for name, engine in ENGINES.items() if "int8" in engine.precisions]


@pytest.fixture
def net():
    return tiny_net()


def compile_int8(compile_it, net, engine, x):
    """A net in int8; the test is skipped where OpenVINO computes wrongly on this processor, and the engine refuses."""
    try:
        return compile_it(net, engine=engine, precision="int8", calibration=x)
    except CompileError as error:
        if "computes this network wrongly" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_exit_records_of_an_engine_are_those_of_the_network(net, engine):
    x, labels = tiny_batch(40)
    found, expected = compile_net(net, engine=engine).record_exits(x, labels), record_exits(net, x, labels)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize("engine", INT8)
@pytest.mark.parametrize("n_samples", [1, 50])
def test_int8_answers_almost_what_float32_answers(net, engine, n_samples):
    calibration, x = tiny_batch(200, seed=1)[0], tiny_batch(n_samples)[0]
    compiled = compile_int8(compile_net, net, engine, calibration)
    exact = compile_net(net, engine=engine)
    assert compiled.precision == "int8" and exact.precision == "f32"
    for thresholds in exact.thresholds_of_each_exit():
        found, expected = compiled.run(x, thresholds).logits, exact.run(x, thresholds).logits
        difference = np.abs(found - expected).max()
        assert 0 < difference < 0.1 * np.abs(expected).max(), "another precision, and not far off"


@pytest.mark.parametrize("engine", INT8)
def test_the_plain_network_can_be_had_in_int8(net, engine):
    x = tiny_batch(50)[0]
    exact = compile_plain(net, engine=engine)
    compiled = compile_int8(compile_plain, net, engine, x)
    assert (compiled.run(x, ()).labels == exact.run(x, ()).labels).mean() > 0.9


@pytest.mark.parametrize("engine", INT8)
def test_a_residual_network_can_be_had_in_int8(engine):
    """Its shortcut leaves out every other pixel, which ONNX calls a slice."""
    layers = [Convolution2D(1, 4, 3), FL(F.relu), ResBlock(4, 8, stride=2), Branch([L.Linear(None, 3)])]
    net = drawn_net(lambda: layers, SHAPE)
    x = tiny_batch(50)[0]
    compiled = compile_int8(compile_net, net, engine, x)
    assert (compiled.run(x, ()).labels == compile_net(net, engine=engine).run(x, ()).labels).mean() > 0.9


@pytest.mark.parametrize("wrong", [0.0, np.nan, 2.0])
def test_openvino_is_refused_where_it_computes_wrongly(net, wrong, monkeypatch):
    """All logits of one sample zero, no numbers, or twice what they should be."""
    workspace = pytest.importorskip("branchynet.inference.engines.openvino")._Workspace
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    right = workspace.run_segment

    def run_segment(self, index, h):
        logits, features = right(self, index, h)
        return (logits * np.float32(wrong) if len(h) == 1 else logits), features

    monkeypatch.setattr(workspace, "run_segment", run_segment)
    with pytest.raises(CompileError, match="computes this network wrongly in f32, in a batch of 1, at exit 1"):
        compile_net(net, engine="openvino")


def test_auto_takes_an_engine_that_has_the_precision(net):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    compiled = compile_net(net, precision="int8", calibration=tiny_batch(20)[0])
    assert compiled.engine in INT8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "arrays", "precision": "int8"}, "precision: expected one of f32 for engine arrays, got 'int8'"),
        ({"precision": "f16"}, "precision: expected one of bf16, f32, int8 for engine auto, got 'f16'"),
        ({"precision": "int8"}, "calibration: expected training images"),
        (
            {"precision": "int8", "calibration": np.zeros((3, 1, 2, 2), np.float32)},
            r"float32 of shape \(3, 1, 2, 2\)",
        ),
        ({"precision": "int8", "calibration": np.zeros((0, *SHAPE), np.float32)}, "calibration: expected"),
    ],
)
def test_what_cannot_be_had_is_told(net, settings, message):
    with pytest.raises(CompileError, match=message):
        compile_net(net, **settings)

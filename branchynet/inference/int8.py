"""The segments of a plan as ONNX models, in int8 if asked for: ONNX Runtime's static quantisation, on samples.

Activations and weights are whole numbers of 8 bits, weights with a scale for each channel (Jacob et al., arXiv
1712.05877). Logits stay float32, since the exit rule looks at them closely. Weights take 7 bits only: with 8,
processors without integer dot products (VNNI) add up in 16 bits, which overflow.
"""

import importlib.util
import pathlib
import tempfile
import types

import numpy as np
import onnx

from branchynet.errors import CompileError
from branchynet.inference.onnx_graph import segment_model

_BATCH_SIZE = 64  # of calibration samples


def segment_models(plan, precision, calibration) -> list:
    """An `onnx.ModelProto` for each segment of a plan.

    Args:
        plan: `branchynet.inference.plan.Plan`.
        precision: "int8"; with any other the weights are float32.
        calibration: (n, C, H, W) float32, samples that say how large activations get; for int8 only.

    Raises:
        CompileError: ONNX Runtime, which quantises, is not installed.
    """
    models = [segment_model(plan, index) for index in range(plan.n_exits)]
    if precision != "int8":
        return models
    if importlib.util.find_spec("onnxruntime") is None:
        raise CompileError("precision int8 needs onnxruntime; in the project's folder: pip install -e '.[onnx]'")
    found, x = [], calibration
    for model in models:
        features = _features(model, x)
        found.append(_quantised(model, x))
        x = features
    return found


def _features(model, x):
    """What the next segment reads, in float32; nothing behind the last."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["features"], {"x": x})[0] if len(session.get_outputs()) == 2 else None


def _quantised(model, x):
    from onnxruntime import quantization

    batches = iter([{"x": np.ascontiguousarray(x[i : i + _BATCH_SIZE])} for i in range(0, len(x), _BATCH_SIZE)])
    with tempfile.TemporaryDirectory() as folder:
        ready, path = (pathlib.Path(folder) / name for name in ("ready.onnx", "int8.onnx"))
        # Of ONNX Runtime's preparation the shapes only: the plan is folded already, 1.32 cannot optimise a model that
        # slices, and 1.19 prepares nothing without optimising.
        model = onnx.shape_inference.infer_shapes(model)
        quantization.quant_utils.add_pre_process_metadata(model)
        onnx.save(model, ready)
        quantization.quantize_static(
            ready,
            path,
            types.SimpleNamespace(get_next=lambda: next(batches, None)),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
        return onnx.load(path)

"""Runs a plan in OpenVINO, a model for each segment, in float32, bfloat16 or int8. Needs the extra `openvino`."""

import functools

import numpy as np

from branchynet.errors import CompileError
from branchynet.inference.engines import Engine


class OpenVinoEngine(Engine):
    """Compiled models, one for each segment; NumPy computes the measure behind them.

    bfloat16 needs a processor that computes in it, else it is an error; int8 runs on all, and is fast on those with
    integer dot products.
    """

    name = "openvino"
    rank = 15
    precisions = ("f32", "bf16", "int8")
    packages, extra = ("onnx", "openvino"), "openvino"

    def __init__(self, plan, device, threads, measure, precision, calibration):
        from branchynet.inference.int8 import segment_models

        self.plan, core = plan, _core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise CompileError("precision bf16: expected a processor with AVX-512 BF16 or AMX, this one has neither")
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        self.models, self.single = [], []
        for model in segment_models(plan, precision, calibration):
            graph = core.read_model(model.SerializeToString())
            try:
                self.models.append(core.compile_model(graph, "CPU", settings))
                graph.reshape([1, *graph.input(0).partial_shape[1:]])
                self.single.append(core.compile_model(graph, "CPU", settings))  # known shapes make it faster
            except RuntimeError as error:
                raise CompileError(f"OpenVINO cannot compile this network in {precision}: {error}") from error
        if precision == "int8":
            _check_single(self.models, self.single, calibration[:1])

    def new_workspace(self):
        """Requests for one thread."""
        return _Workspace(self)


def _check_single(models, single, x):
    """Raises CompileError unless one sample is answered alone as in a batch.

    OpenVINO 2026.4 gives zeros for one sample of a very small fully connected layer, on processors with VNNI.
    """
    for many, one in zip(models, single):
        expected, found = (list(model.create_infer_request().infer([x]).values()) for model in (many, one))
        if np.abs(expected[0] - found[0]).max() > 1e-3 * np.abs(expected[0]).max():
            raise CompileError(
                f"precision int8: OpenVINO answers one sample otherwise than a batch, expected logits "
                f"{expected[0].tolist()}, got {found[0].tolist()}: take another engine or precision"
            )
        x = expected[-1]


@functools.lru_cache(maxsize=1)
def _core():
    """OpenVINO itself, loaded once and never unloaded: its threads outlive the models that it compiled."""
    import openvino

    return openvino.Core()


class _Workspace:
    """A request for each segment and for each batch form: one sample, in the request's own arrays, or several.

    No array of NumPy's is lent to OpenVINO: it would give it back in a thread of its own.
    """

    def __init__(self, engine):
        self._requests, self._single, features = [], [], None
        for batch_model, model in zip(engine.models, engine.single):
            self._requests.append(batch_model.create_infer_request())
            request = model.create_infer_request()
            if features is not None:
                request.set_input_tensor(features)
            outputs = [request.get_output_tensor(number) for number in range(len(model.outputs))]
            features = outputs[1] if len(outputs) == 2 else None
            arrays = [tensor.data for tensor in (request.get_input_tensor(), *outputs)]
            self._single.append((request, *arrays, *[None] * (3 - len(arrays))))

    def n_bytes(self) -> int:
        """Memory of the arrays of one sample."""
        return sum(source.nbytes + logits.nbytes for _, source, logits, _ in self._single)

    def run_segment(self, index, h):
        """See `branchynet.inference.engines`."""
        if len(h) == 1:
            request, source, logits, features = self._single[index]
            if not np.may_share_memory(h, source):
                np.copyto(source, h)
            request.infer()
            return logits, features
        results = list(self._requests[index].infer([np.ascontiguousarray(h)]).values())
        return results if len(results) == 2 else (results[0], None)


ENGINE = OpenVinoEngine

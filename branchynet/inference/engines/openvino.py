"""Runs a plan in OpenVINO, a model for each segment, in float32, bfloat16 or int8. Needs the extra `openvino`."""

import functools

import numpy as np

from branchynet.errors import CompileError
from branchynet.inference.engines import Engine
from branchynet.inference.engines.arrays.engine import ArraysEngine

# Of the largest logit: what rounding may change; more is another answer.
_TOLERANCES = {"f32": 1e-3, "bf16": 0.1, "int8": 0.5}
_N_CHECKED = 4


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
        _check_answers(self, device, precision, calibration)

    def new_workspace(self):
        """Requests for one thread."""
        return _Workspace(self)


def _check_answers(engine, device, precision, calibration):
    """Raises CompileError unless samples are answered as by the arrays engine, together and one by one.

    On processors with AVX-512, OpenVINO 2026.4 gives zeros for one sample of a very small fully connected layer in
    int8, and NaN or other logits for some networks of very small images.
    """
    plan, tolerance = engine.plan, _TOLERANCES[precision]
    x = np.random.default_rng(0).normal(size=(_N_CHECKED, *plan.in_shape)).astype(np.float32)
    x = x if calibration is None else calibration[:_N_CHECKED]
    ours, exact = engine.new_workspace(), ArraysEngine(plan, device, 1, None, "f32", None).new_workspace()
    for samples in (x, *np.split(x, len(x))):
        h = exact_h = samples
        for index in range(plan.n_exits):
            (found, h), (expected, exact_h) = ours.run_segment(index, h), exact.run_segment(index, exact_h)
            largest = np.abs(expected).max()
            # Of a network that is not finite itself nothing can be said.
            if np.isfinite(largest) and not np.abs(found - expected).max() <= tolerance * largest:
                raise CompileError(
                    f"OpenVINO computes this network wrongly in {precision}, in a batch of {len(samples)}, at exit "
                    f"{index + 1}: expected logits {expected[0].tolist()}, got {found[0].tolist()}; take another engine"
                )


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

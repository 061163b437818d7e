"""Runs a plan in ONNX Runtime, a session for each segment. Needs the extra `onnx`."""

import numpy as np

from branchynet.inference.engines import Engine


class OnnxRuntimeEngine(Engine):
    """Sessions with a fixed number of threads, one session for each segment; NumPy computes the measure behind them."""

    name = "onnxruntime"
    rank = 10
    precisions = ("f32", "int8")
    packages, extra = ("onnx", "onnxruntime"), "onnx"

    def __init__(self, plan, device, threads, measure, precision, calibration):
        from branchynet.inference.int8 import segment_models

        self.plan = plan
        self.sessions = [make_session(model, threads) for model in segment_models(plan, precision, calibration)]

    def new_workspace(self):
        """Arrays for one thread, bound to the sessions, which threads share."""
        return _Workspace(self)


class _Workspace:
    """The sessions of an engine, with arrays for one sample bound to them."""

    def __init__(self, engine):
        self._sessions, plan = engine.sessions, engine.plan
        self._single = []
        source = np.zeros((1, *plan.in_shape), np.float32)
        for session, segment in zip(self._sessions, plan.segments):
            feature_shape = None if segment is plan.segments[-1] else segment.out_shape
            self._single.append(_BoundSegment(session, source, feature_shape, plan.n_classes))
            source = self._single[-1].features

    def n_bytes(self) -> int:
        """Memory of the bound arrays."""
        return sum(segment.n_bytes() for segment in self._single)

    def run_segment(self, index, h):
        """See `branchynet.inference.engines`."""
        if len(h) == 1:
            return self._single[index].run(h)
        results = self._sessions[index].run(None, {"x": np.ascontiguousarray(h)})
        return results if len(results) == 2 else (results[0], None)


class _BoundSegment:
    """One segment for one sample, reading and writing fixed arrays: nothing is allocated or copied at run time.

    Args:
        source: the array (1, ...) that the segment reads: for all but the first, what the segment before writes.
        feature_shape: of one sample of what the next segment reads; None for the last segment.
    """

    def __init__(self, session, source, feature_shape, n_classes):
        import onnxruntime

        self.source = source
        self.features = None if feature_shape is None else np.zeros((1, *feature_shape), np.float32)
        self.logits = np.zeros((1, n_classes), np.float32)
        self._run = session.run_with_iobinding
        self._binding = session.io_binding()
        # An OrtValue of the CPU shares the memory of its NumPy array, which is kept here.
        outputs = {"logits": self.logits, "features": self.features}
        arrays = {"x": source, **{name: array for name, array in outputs.items() if array is not None}}
        self._values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
        for name, value in self._values.items():
            bind = self._binding.bind_ortvalue_input if name == "x" else self._binding.bind_ortvalue_output
            bind(name, value)

    def run(self, h):
        if h is not self.source:
            np.copyto(self.source, h)
        self._run(self._binding)
        return self.logits, self.features

    def n_bytes(self):
        return self.logits.nbytes + (0 if self.features is None else self.features.nbytes)


def make_session(model, threads):
    """An ONNX Runtime session on the CPU with a fixed number of threads.

    Args:
        model: `onnx.ModelProto`.
        threads: at least 1.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A waiting thread that spins takes the core from whoever else needs it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


ENGINE = OnnxRuntimeEngine

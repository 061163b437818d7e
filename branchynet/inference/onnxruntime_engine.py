"""Runs a plan in ONNX Runtime, a session for each segment. Needs the extra `onnx`."""

from __future__ import annotations

import importlib.util

import numpy as np


def onnxruntime_problem():
    """What is missing for this engine, as text; None if nothing is."""
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        return (
            f"the onnxruntime engine needs {' and '.join(missing)}; in the project's folder: pip install -e '.[onnx]'"
        )
    return None


class OnnxRuntimeEngine:
    """Sessions, one for each segment.

    Args:
        device: chainer device; the CPU.
        threads: of every session, fixed.
    """

    name = "onnxruntime"

    def __init__(self, device, threads=1):
        self.device = device
        self.threads = threads
        self._sessions = []

    def load(self, plan) -> None:
        """Makes the sessions of a plan."""
        from branchynet.inference.onnx_graph import segment_model

        self._sessions = [make_session(segment_model(segment), self.threads) for segment in plan.segments]

    def n_bytes(self) -> int:
        """Not told by ONNX Runtime."""
        return 0

    def run_segment(self, index, h):
        """One segment on a batch: (n, ...) float32 -> (logits (n, n_classes), input of the next segment (n, ...))."""
        if index == len(self._sessions) - 1:
            return self._sessions[index].run(["logits"], {"x": h})[0], None
        return self._sessions[index].run(["logits", "features"], {"x": np.ascontiguousarray(h)})


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

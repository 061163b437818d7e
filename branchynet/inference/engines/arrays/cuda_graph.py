"""All kernels of a segment as one CUDA graph: one launch in place of dozens, each of which costs the host microseconds.

CuPy refuses cuBLAS while a graph is captured, so matrix products in a graph are a kernel of their own: for one sample
they are small, and the launches are what takes the time.
"""

from __future__ import annotations

import contextlib
import functools
import threading

import numpy as np

# One thread at a time: while one captures, CUDA lets no other wait for the device.
_CAPTURING = threading.Lock()


class CapturedCalls:
    """Calls on fixed arrays, captured once and launched as one graph ever after.

    Args:
        xp: CuPy.
        calls: functions without arguments that start kernels on fixed arrays and need nothing back from the GPU.

    Raises:
        RuntimeError: something among the calls cannot be captured.
    """

    def __init__(self, xp, calls):
        stream = xp.cuda.Stream(non_blocking=True)
        # Memory that a call takes for itself must stay its own as long as the graph lives.
        self._pool = xp.cuda.MemoryPool()
        with _CAPTURING, xp.cuda.using_allocator(self._pool.malloc), stream:
            xp.cuda.Device().synchronize()  # what the calls read may still be on its way, on another stream
            for call in calls:  # compiles the kernels, which cannot be done while capturing
                call()
            stream.synchronize()
            stream.begin_capture()
            try:
                for call in calls:
                    call()
            except Exception:
                with contextlib.suppress(RuntimeError):
                    stream.end_capture()
                raise
            self._graph = stream.end_capture()

    def __call__(self):
        """Starts everything, on the current stream."""
        self._graph.launch()


@functools.cache
def _product_kernel(xp):
    return xp.ReductionKernel(
        "float32 left, float32 right", "float32 y", "left * right", "a + b", "y = a", "0", "branchynet_matrix_product"
    )


def matrix_product(xp, left, right, out):
    """``left @ right`` without cuBLAS.

    Args:
        xp: CuPy.
        left: (M, K) float32.
        right: (..., K, N) float32.
        out: (..., M, N) float32.
    """
    _product_kernel(xp)(left[:, :, np.newaxis], right[..., np.newaxis, :, :], out, axis=-2)

"""Kernels as one CUDA graph: one launch in place of many, each of which costs the host microseconds."""

from __future__ import annotations

import contextlib
import threading
import warnings

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
            except BaseException:
                with contextlib.suppress(RuntimeError):
                    stream.end_capture()
                raise
            self._graph = stream.end_capture()

    def __call__(self, stream=None):
        """Starts everything, on a stream of CuPy; on the current one by default."""
        self._graph.launch(stream)


def captured(xp, calls) -> list:
    """The calls as one graph, in a list; the calls themselves where they cannot be captured, with a warning."""
    try:
        return [CapturedCalls(xp, calls)]
    except RuntimeError as error:  # CUDARuntimeError is one
        warnings.warn(f"kernels are launched one by one, for they cannot be captured: {error}", stacklevel=2)
        return list(calls)

"""Kernels captured as one CUDA graph."""

import contextlib
import types

import numpy as np
import pytest

from branchynet.inference.engines.arrays.product import matrix_product
from branchynet.machine.cuda_graph import CapturedCalls, captured
from branchynet.machine.devices import to_host


class FakeStream:
    """Writes down what is asked of a stream."""

    def __init__(self, log):
        self.log = log

    def __enter__(self):
        self.log.append("enter")

    def __exit__(self, *error):
        self.log.append("leave")

    def synchronize(self):
        self.log.append("synchronise")

    def begin_capture(self):
        self.log.append("begin")

    def end_capture(self):
        self.log.append("end")
        return types.SimpleNamespace(launch=lambda stream: self.log.append("launch"))


def fake_cupy(log):
    cuda = types.SimpleNamespace(
        Stream=lambda non_blocking: FakeStream(log),
        MemoryPool=lambda: types.SimpleNamespace(malloc=None),
        Device=lambda: types.SimpleNamespace(synchronize=lambda: None),
        using_allocator=lambda malloc: contextlib.nullcontext(),
    )
    return types.SimpleNamespace(cuda=cuda)


def test_calls_are_made_once_to_compile_once_to_capture_and_never_again():
    log = []
    graph = CapturedCalls(fake_cupy(log), [lambda: log.append("a"), lambda: log.append("b")])
    assert log == ["enter", "a", "b", "synchronise", "begin", "a", "b", "end", "leave"]
    graph(), graph()
    assert log[-2:] == ["launch", "launch"] and log.count("a") == 2


def test_a_capture_that_fails_is_ended():
    log = []

    def fails_while_capturing():
        if "begin" in log:
            raise NotImplementedError("cuBLAS")

    with pytest.raises(NotImplementedError):
        CapturedCalls(fake_cupy(log), [fails_while_capturing])
    assert log[-2:] == ["end", "leave"]


def test_what_cannot_be_captured_is_launched_call_by_call():
    def fails_while_capturing():
        if log[-1:] == ["begin"]:
            raise NotImplementedError("cuBLAS")

    log = []
    with pytest.warns(UserWarning, match="one by one.*cuBLAS"):
        assert captured(fake_cupy(log), [fails_while_capturing]) == [fails_while_capturing]


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(3, 4), (1, 4, 5), (2, 4, 1)])
def test_a_matrix_product_without_cublas(gpu, rng, shape):
    left, right = rng.normal(size=(6, shape[-2])).astype(np.float32), rng.normal(size=shape).astype(np.float32)
    out = gpu.xp.empty((*shape[:-2], 6, shape[-1]), np.float32)
    matrix_product(gpu.xp, gpu.send(left), gpu.send(right), out)
    np.testing.assert_allclose(to_host(out), left @ right, rtol=1e-5, atol=1e-6)

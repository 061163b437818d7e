"""The engines in turn."""

import pytest

from branchynet.inference.engines import engine_classes
from branchynet.machine.devices import get_device, gpu_problem

ENGINES = [
    ("native", "cpu"),
    ("arrays", "cpu"),
    pytest.param(("arrays", "gpu"), marks=pytest.mark.gpu),
    pytest.param(("cuda", "gpu"), marks=pytest.mark.gpu),
    ("onnxruntime", "cpu"),
    ("openvino", "cpu"),
]


@pytest.fixture(params=ENGINES, ids=lambda engine: "-".join(engine))
def engine(request):
    """Settings of `compile_net`: each engine on each device; what is missing is skipped, visibly."""
    name, device = request.param
    problem = gpu_problem() if device == "gpu" else None
    if problem := problem or engine_classes()[name].problem(get_device(device)):
        pytest.skip(problem)
    return {"engine": name, "device": device}


@pytest.fixture
def every_net_is_large(monkeypatch):
    """No network fits one block of a GPU's threads: the cuda engine computes it by the whole grid."""
    monkeypatch.setattr("branchynet.inference.cuda.source.BLOCK_FLOATS", 0)


@pytest.fixture(params=[False, True], ids=["one block", "whole grid"])
def is_large(request):
    """Whether `every_net_is_large`: both in turn."""
    if request.param:
        request.getfixturevalue("every_net_is_large")
    return request.param

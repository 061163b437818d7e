"""What all tests share: each device in turn, a generator, one BLAS thread."""

import os
import signal

import branchynet  # noqa: F401  (before Chainer, which needs it on a NumPy of today)

# isort: split
import numpy as np
import pytest
import threadpoolctl
from tiny import tiny_measure, tiny_net

from branchynet.confidence import MEASURES
from branchynet.inference.engines import engine_classes
from branchynet.inference.lowering import LOWERINGS
from branchynet.machine.devices import get_device, gpu_problem
from branchynet.thresholds.goals import GOALS
from branchynet.training import WEIGHTINGS


@pytest.fixture
def gpu():
    """The GPU, in use; the test is skipped, visibly and with the reason, where there is none."""
    if problem := gpu_problem():
        pytest.skip(problem)
    device = get_device("gpu")
    device.use()
    return device


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """Each device in turn, in use."""
    if request.param == "gpu":
        return request.getfixturevalue("gpu")
    get_device("cpu").use()
    return get_device("cpu")


@pytest.fixture(params=engine_classes())
def engine_name(request):
    """Each engine in turn, on the CPU; what is missing is skipped, visibly."""
    if problem := engine_classes()[request.param].problem(get_device("cpu")):
        pytest.skip(problem)
    return request.param


@pytest.fixture
def net(device):
    """An initialised `BranchyNet` with two early exits, on the device."""
    return tiny_net(device=device)


@pytest.fixture(scope="session")
def measures():
    """Every registered measure, ready for use on three exits."""
    return {name: tiny_measure(name) for name in MEASURES.names()}


@pytest.fixture(autouse=True)
def what_a_test_registers_is_forgotten(monkeypatch):
    for registry in (MEASURES, WEIGHTINGS, GOALS, LOWERINGS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    """Tests are small: more threads would only get in each other's way."""
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard():
    """A shell lets what it runs in the background ignore Ctrl-C; tests that press it want it heard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk():
    """Only a power cut would show whether what is written is on the disk, and thousands of waits take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield

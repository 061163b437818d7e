"""Which device a specifier means, and what a user is told when a GPU cannot be used."""

import pathlib
import re
from types import SimpleNamespace

import chainer
import numpy as np
import pytest

from branchynet.errors import DeviceError
from branchynet.machine import devices


class _FakeRuntime:
    """CUDA's runtime on a machine with `n_gpus` GPUs, or where asking for them raises `error`."""

    def __init__(self, n_gpus=0, error=None):
        self.n_gpus, self.error = n_gpus, error

    def getDeviceCount(self):
        if self.error:
            raise self.error
        return self.n_gpus

    def getDeviceProperties(self, number):
        return {"name": b"Tiny GPU 0"}


class _NativeDevice(chainer.backend.Device):
    """A device of Chainer's that is neither NumPy nor CuPy."""

    name = "native:0"


_NATIVE = _NativeDevice()


@pytest.fixture
def cuda_is(monkeypatch):
    """Makes Chainer believe in another CUDA than the one at hand."""

    def change(available, error=None, runtime=None):
        monkeypatch.setattr(chainer.backends.cuda, "available", available)
        monkeypatch.setattr(chainer.backends.cuda, "_resolution_error", error, raising=False)
        monkeypatch.setattr(chainer.backends.cuda, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))

    return change


@pytest.mark.parametrize("spec", ["cpu", "@numpy", chainer.get_device("@numpy")])
def test_the_cpu_needs_nothing(spec):
    assert devices.get_device(spec) == chainer.get_device("@numpy")
    assert not devices.is_gpu(spec)


def test_a_device_is_returned_and_tells_whether_it_is_a_gpu(device):
    assert devices.get_device(device) == device
    assert devices.is_gpu(device) == (device.xp is not np)


@pytest.mark.parametrize(
    "spec", ["", "GPU", "gpu:", "gpu:x", "gpu:-1", "gpu:0 ", "cuda:0", "@cupy:", "@intel64", 0, None, _NATIVE]
)
def test_a_specifier_of_another_form_is_refused(spec):
    with pytest.raises(
        DeviceError, match=re.escape(f"gpu:N, or a Chainer device such as @numpy or @cupy:0; got {spec!r}")
    ):
        devices.get_device(spec)


@pytest.mark.parametrize("spec", ["gpu", "gpu:0", "@cupy", "@cupy:0"])
def test_a_gpu_without_cupy_is_an_error_that_says_what_to_install(spec, cuda_is):
    cuda_is(False, ModuleNotFoundError("No module named 'cupy'", name="cupy"))
    expected = re.escape(f"device {spec}: CuPy is not installed") + r".*CUDA 12.*\[gpu\].*CUDA 13.*cupy-cuda13x"
    with pytest.raises(DeviceError, match=expected):
        devices.get_device(spec)


@pytest.mark.parametrize("package", ["cupy-cuda12x", "cupy-cuda13x"])
def test_missing_cuda_libraries_are_named_with_the_package_that_is_installed(package, cuda_is, monkeypatch):
    cuda_is(False, ImportError("libcublasLt.so: No such file\nmore lines"))
    installed = [SimpleNamespace(metadata={"Name": name}) for name in ("numpy", package)]
    monkeypatch.setattr("importlib.metadata.distributions", lambda: installed)
    problem = devices.gpu_problem()
    assert problem.endswith(f"do not load: pip install '{package}[ctk]' (libcublasLt.so: No such file)")


def test_a_missing_driver_is_told_in_cudas_words(cuda_is):
    cuda_is(True, runtime=_FakeRuntime(error=RuntimeError("cudaErrorInsufficientDriver: too old")))
    with pytest.raises(DeviceError, match="no usable GPU.*driver.*cudaErrorInsufficientDriver: too old"):
        devices.get_device("gpu")


def test_a_driver_without_a_gpu_is_a_problem(cuda_is):
    cuda_is(True, runtime=_FakeRuntime(n_gpus=0))
    assert "no GPU" in devices.gpu_problem()


@pytest.mark.parametrize("number", [2, 7])
def test_the_number_of_a_gpu_is_checked_against_how_many_there_are(number, cuda_is):
    cuda_is(True, runtime=_FakeRuntime(n_gpus=2))
    assert devices.gpu_problem() is None
    with pytest.raises(DeviceError, match=f"device gpu:{number}: expected .* 0 to 1 on this machine, got {number}"):
        devices.get_device(f"gpu:{number}")


@pytest.mark.parametrize("default_gpu", [0, 1])
@pytest.mark.parametrize(
    ("spec", "number"), [("gpu", None), ("gpu:0", 0), ("gpu:1", 1), ("@cupy", None), ("@cupy:0", 0), ("@cupy:1", 1)]
)
def test_a_gpu_that_is_there_is_the_one_meant(spec, number, default_gpu, cuda_is, monkeypatch):
    cuda_is(True, runtime=_FakeRuntime(n_gpus=2))
    monkeypatch.setattr(chainer, "get_device", lambda spec: f"device {spec}")
    expected = default_gpu if number is None else number
    assert devices.get_device(spec, default_gpu) == f"device @cupy:{expected}"


def test_arrays_travel_to_the_device_and_back(device, rng):
    array = rng.normal(size=(3, 4)).astype(np.float32)
    sent = device.send(array)
    devices.synchronise(device)
    returned = devices.to_host(sent)
    assert isinstance(sent, device.xp.ndarray) and type(returned) is np.ndarray
    assert returned.dtype == np.float32
    np.testing.assert_array_equal(returned, array)


def test_waiting_for_a_gpu_waits_for_that_gpu():
    waited = []
    gpu = SimpleNamespace(xp="CuPy", device=SimpleNamespace(synchronize=lambda: waited.append("done")))
    devices.synchronise(gpu)
    assert waited == ["done"]


def test_a_device_is_described_in_one_line(device):
    text = devices.describe(device)
    assert text and "\n" not in text


def test_a_gpu_is_described_by_its_name(cuda_is):
    cuda_is(True, runtime=_FakeRuntime(n_gpus=1))
    assert devices.describe(SimpleNamespace(xp="CuPy", device=SimpleNamespace(id=0))) == "Tiny GPU 0"


def test_a_cpu_that_tells_no_model_still_has_a_description(monkeypatch):
    monkeypatch.setattr("branchynet.machine.processor._CPUINFO", pathlib.Path("nowhere"))
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert devices.describe(chainer.get_device("@numpy")) == "riscv64"


def test_scalars_of_a_device_are_read_as_floats(device):
    scalars = [device.xp.array([1.5, 2.5], np.float32).sum(), device.xp.array([True, False]).mean()]
    assert devices.as_floats(scalars) == [4.0, 0.5]
    assert all(type(value) is float for value in devices.as_floats(scalars))

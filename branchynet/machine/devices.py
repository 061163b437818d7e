"""The one gate to the GPU: which device a user means, and what is missing when it cannot be used.

Only this module speaks of CuPy by name; everything else asks an array, a link or a device for its module (`xp`).
"""

from __future__ import annotations

import importlib.metadata
import re

import chainer
import numpy as np

from branchynet.errors import DeviceError
from branchynet.gate import shown
from branchynet.machine import processor
from branchynet.machine.nvml import Nvml

_EXPECTED = "expected cpu, gpu, gpu:N, or a Chainer device such as @numpy or @cupy:0"
_GPU_SPECIFIER = re.compile(r"(?:gpu|@cupy)(?::([0-9]+))?")


def get_device(spec, default_gpu: int = 0) -> chainer.backend.Device:
    """The Chainer device that a specifier means. On a machine with several GPUs, `device.use()` makes it the current.

    Args:
        spec: "cpu", "gpu", "gpu:N", a Chainer specifier ("@numpy" or "@cupy:N"), or a Chainer device, which is checked
            and returned.
        default_gpu: number of the GPU that is meant where the specifier names none; where several workers share a
            machine, each has a GPU of its own.

    Raises:
        DeviceError: the specifier is of another form, or asks for a GPU that cannot be used. A GPU that was asked for
            is never replaced by the CPU.
    """
    name = spec.name if isinstance(spec, chainer.backend.Device) else spec
    if name in ("cpu", "@numpy"):
        return chainer.get_device("@numpy")
    match = _GPU_SPECIFIER.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise DeviceError(f"device: {_EXPECTED}; got {shown(spec)}")
    problem = gpu_problem()
    if problem is not None:
        raise DeviceError(f"device {name}: {problem}")
    number, n_gpus = int(match.group(1) or default_gpu), _runtime().getDeviceCount()
    if number >= n_gpus:
        raise DeviceError(
            f"device {name}: expected the number of a GPU, 0 to {n_gpus - 1} on this machine, got {number}"
        )
    return chainer.get_device(f"@cupy:{number}")


def is_gpu(device) -> bool:
    """Whether a device, or what a specifier means, is a GPU; device and errors as of `get_device`."""
    return get_device(device).xp is not np


def gpu_problem() -> str | None:
    """What keeps GPUs from being used and what to do about it, as text; None if there is one that can be used.

    Chainer itself says only that CUDA is not available; `available` is even True where the driver is missing.
    """
    cuda = chainer.backends.cuda
    if not cuda.available:
        error = cuda._resolution_error
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return (
                "CuPy is not installed; for CUDA 12, in the project's folder: pip install -e '.[gpu]'; "
                "for CUDA 13: pip install 'cupy-cuda13x[ctk]'"
            )
        # There is a package of CuPy for each CUDA; a second one over the first would break both.
        packages = [package.metadata["Name"] or "" for package in importlib.metadata.distributions()]
        package = next((name for name in packages if name.startswith("cupy")), "cupy")
        reason = str(error).strip().split("\n")[0]
        return f"CuPy is installed, but the CUDA libraries do not load: pip install '{package}[ctk]' ({reason})"
    try:
        n_gpus = _runtime().getDeviceCount()
    except RuntimeError as error:  # CUDARuntimeError is one
        return f"no usable GPU; expected an NVIDIA GPU and a driver for the CUDA of the installed CuPy ({error})"
    return None if n_gpus > 0 else "no GPU on this machine that CUDA can see"


def nccl_package() -> str:
    """The package that brings NCCL for the installed CuPy: there is one for each CUDA."""
    return f"nvidia-nccl-cu{_runtime().runtimeGetVersion() // 1000}"


def synchronise(device: chainer.backend.Device) -> None:
    """Waits until `device` has done all that it was given; on the CPU there is nothing to wait for."""
    if device.xp is not np:
        device.device.synchronize()


def to_host(array) -> np.ndarray:
    """A NumPy or CuPy array as a NumPy array, same shape and dtype; a NumPy array is returned as it is."""
    return array if isinstance(array, np.ndarray) else chainer.get_device("@numpy").send(array)


def as_floats(scalars) -> list:
    """Scalars of one device as floats; from a GPU they are read all at once, for each reading waits for it."""
    xp = chainer.backend.get_array_module(*scalars)
    if xp is np:
        return [float(scalar) for scalar in scalars]
    return to_host(xp.stack([xp.asarray(scalar, np.float64) for scalar in scalars])).tolist()


def describe(device: chainer.backend.Device) -> str:
    """The model of the processor that `device` is, such as "NVIDIA H100 80GB HBM3"."""
    if device.xp is np:
        return processor.model()
    name = _runtime().getDeviceProperties(device.device.id)["name"]
    return name.decode() if isinstance(name, bytes) else name


def gpu_details(device: chainer.backend.Device) -> dict:
    """What times on a GPU depend on besides its model, JSON-able; empty for the CPU.

    Returns:
        {driver: version of NVIDIA's driver, None where NVML is not there; cuda_driver: the newest CUDA that it knows;
        cuda: the one that CuPy computes with; compute_capability, n_multiprocessors, memory_bytes}
    """
    if device.xp is np:
        return {}
    runtime = _runtime()
    try:
        driver = nvml(device).driver()
    except DeviceError:
        driver = None
    return {
        "driver": driver,
        "cuda_driver": _cuda_version(runtime.driverGetVersion()),
        "cuda": _cuda_version(runtime.runtimeGetVersion()),
        "compute_capability": device.device.compute_capability,
        "n_multiprocessors": device.device.attributes["MultiProcessorCount"],
        "memory_bytes": device.device.mem_info[1],
    }


def nvml(device: chainer.backend.Device) -> Nvml:
    """A GPU as NVIDIA's management library knows it.

    Raises:
        DeviceError: it is not there, or the device is no GPU.
    """
    if device.xp is np:
        raise DeviceError("NVML: expected a GPU, got the CPU")
    return Nvml(device.device.pci_bus_id)


def _cuda_version(number):
    return f"{number // 1000}.{number % 1000 // 10}"


def _runtime():
    """CUDA's runtime, through CuPy."""
    return chainer.backends.cuda.cupy.cuda.runtime

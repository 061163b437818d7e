"""What NVIDIA's management library is asked, and what is said where it is not there or knows no answer."""

import ctypes

import chainer
import pytest

from branchynet.errors import DeviceError
from branchynet.machine import devices, nvml


class _Library:
    """NVML of a machine with one GPU, on a bus that is known by "0000:01:00.0"."""

    def __init__(self, counts_energy=True):
        self.counts_energy = counts_energy
        self.nvmlErrorString = lambda status: {3: b"Not Supported", 6: b"Not Found"}[status]

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetHandleByPciBusId_v2(self, bus, handle):
        handle._obj.value = 77
        return 0 if bus == b"0000:01:00.0" else 6

    def nvmlSystemGetDriverVersion(self, text, size):
        text.value = b"570.86.15"
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, millijoules):
        millijoules._obj.value = 1500 if handle.value == 77 else 0
        return 0 if self.counts_energy else 3


@pytest.fixture
def library_is(monkeypatch):
    """Puts a library in the place of NVIDIA's."""
    return lambda library: monkeypatch.setattr(ctypes, "CDLL", lambda name: library)


def test_driver_and_energy_of_the_gpu_on_that_bus(library_is):
    library_is(_Library())
    gpu = nvml.Nvml("0000:01:00.0")
    assert (gpu.driver(), gpu.joules()) == ("570.86.15", 1.5)


def test_a_card_that_does_not_count_and_one_that_is_not_known_are_told_in_the_librarys_words(library_is):
    library_is(_Library(counts_energy=False))
    with pytest.raises(DeviceError, match="nvmlDeviceGetTotalEnergyConsumption gives 3: Not Supported"):
        nvml.Nvml("0000:01:00.0").joules()
    with pytest.raises(DeviceError, match="nvmlDeviceGetHandleByPciBusId_v2 gives 6: Not Found"):
        nvml.Nvml("0000:02:00.0")


def test_a_driver_that_is_too_old_is_told(library_is, monkeypatch):
    monkeypatch.delattr(_Library, "nvmlDeviceGetTotalEnergyConsumption")
    library_is(_Library())
    with pytest.raises(DeviceError, match="expected nvmlDeviceGetTotalEnergyConsumption, got a driver that is too old"):
        nvml.Nvml("0000:01:00.0").joules()


def test_without_the_library_its_name_is_told(monkeypatch):
    monkeypatch.setattr(nvml, "_LIBRARY", "libnowhere.so.1")
    with pytest.raises(DeviceError, match="NVML: expected libnowhere.so.1 of NVIDIA's driver, got: "):
        nvml.Nvml("0000:01:00.0")


def test_the_cpu_has_none():
    with pytest.raises(DeviceError, match="NVML: expected a GPU, got the CPU"):
        devices.nvml(chainer.get_device("@numpy"))

"""What NVIDIA's management library tells of a GPU beside CUDA: the driver's version, and the energy it has used.

It comes with the driver, so it is there wherever a GPU can be used; a container may hide it.
"""

from __future__ import annotations

import ctypes

from branchynet.errors import DeviceError

_LIBRARY = "libnvidia-ml.so.1"
_TEXT_BYTES = 96


class Nvml:
    """A GPU, as the library knows it.

    Args:
        pci_bus_id: of the GPU, as CUDA tells it: the library counts GPUs otherwise than CUDA does.

    Raises:
        DeviceError: the library is not there, or does not know the GPU.
    """

    def __init__(self, pci_bus_id):
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise DeviceError(f"NVML: expected {_LIBRARY} of NVIDIA's driver, got: {error}") from error
        self._handle = ctypes.c_void_p()
        self._call("nvmlInit_v2")
        self._call("nvmlDeviceGetHandleByPciBusId_v2", pci_bus_id.encode(), ctypes.byref(self._handle))

    def driver(self) -> str:
        """The driver's version, such as "570.86.15"."""
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call("nvmlSystemGetDriverVersion", text, ctypes.c_uint(_TEXT_BYTES))
        return text.value.decode()

    def joules(self) -> float:
        """Energy that the whole card has used since its driver was loaded; GPUs since Volta count it.

        The card itself brings the count up to date, some ten times a second.
        """
        millijoules = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(millijoules))
        return millijoules.value / 1000

    def _call(self, name, *arguments):
        try:
            status, meaning = getattr(self._library, name)(*arguments), self._library.nvmlErrorString
        except AttributeError as error:
            raise DeviceError(f"NVML: expected {name}, got a driver that is too old for it") from error
        if status != 0:
            meaning.restype = ctypes.c_char_p
            raise DeviceError(f"NVML: {name} gives {status}: {meaning(status).decode()}")

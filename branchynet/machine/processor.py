"""What the processor is, as far as the machine tells: model, clock, caches, and whether it is a virtual one; its load.

Linux is asked by its files; elsewhere most of it is not known, and None says so.
"""

from __future__ import annotations

import os
import pathlib
import platform

_CPUINFO = pathlib.Path("/proc/cpuinfo")
_CACHES = pathlib.Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


def model() -> str:
    """The processor's model as Linux tells it; elsewhere what Python knows of it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def processor() -> dict:
    """What the processor is.

    Returns:
        JSON-able: {model, clock_mhz: now, of the first core, or None; cache_bytes: {"L1 data": size, "L2": ...} of the
        first core; virtual: whether a hypervisor stands between, or None; features: of the vector unit, list of text}
    """
    found, flags = _cpuinfo(), features()
    clock = found.get("cpu MHz")
    return {
        "model": model(),
        "family_model_stepping": " ".join(found.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "clock_mhz": None if clock is None else float(clock),
        "cache_bytes": cache_bytes(),
        "virtual": "hypervisor" in flags if flags else None,
        "features": sorted(flag for flag in flags if flag.startswith(("avx", "amx", "fma"))),
    }


def features() -> tuple:
    """What the processor can do, as Linux tells it: two of one name may differ in that. Empty elsewhere."""
    found = _cpuinfo()
    of_arm = [f"{key} {found[key]}" for key in ("CPU implementer", "CPU part") if key in found]
    return (*found.get("flags", found.get("Features", "")).split(), *of_arm)


def cache_bytes() -> dict:
    """{"L1 data": bytes, "L2": ...}, the caches of the first core that hold data; empty where that is not known."""
    sizes = {}
    for folder in sorted(_CACHES.glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
            if kind in ("Data", "Unified"):
                sizes[f"L{level} data" if kind == "Data" else f"L{level}"] = int(size[:-1]) * _UNITS[size[-1]]
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return sizes


def load() -> float | None:
    """Processes that computed or waited for a core, a mean over the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _cpuinfo():
    """{key: value} of the first core."""
    found = {}
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon:
            break
        found[key.strip()] = value.strip()
    return found

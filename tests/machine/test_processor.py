"""What the machine tells of its processor; and that nothing is made up where it tells nothing."""

import pytest

from branchynet.machine import processor

CPUINFO = """processor\t: 0
cpu family\t: 25
model\t\t: 1
model name\t: Tiny CPU
stepping\t: 2
cpu MHz\t\t: 2445.5
flags\t\t: fpu avx2 fma hypervisor

processor\t: 1
model name\t: Another
"""


@pytest.fixture
def linux(tmp_path, monkeypatch):
    """The files of Linux, in a folder of the test."""
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    caches = {"index0": ("1", "Data", "32K"), "index1": ("1", "Instruction", "32K"), "index2": ("2", "Unified", "1M")}
    for name, values in {**caches, "index3": ("3", "Unified", "")}.items():
        (tmp_path / name).mkdir()
        for key, value in zip(("level", "type", "size"), values):
            (tmp_path / name / key).write_text(value + "\n")
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor, "_CACHES", tmp_path)
    return tmp_path


def test_the_processor_is_told_from_the_files_of_linux(linux):
    assert processor.processor() == {
        "model": "Tiny CPU",
        "family_model_stepping": "25 1 2",
        "clock_mhz": 2445.5,
        "cache_bytes": {"L1 data": 32 * 1024, "L2": 1024**2},
        "virtual": True,
        "features": ["avx2", "fma"],
    }


def test_what_is_not_told_is_none(linux, monkeypatch):
    (linux / "cpuinfo").unlink()
    monkeypatch.setattr(processor, "_CACHES", linux / "nowhere")
    found = processor.processor()
    assert (found["clock_mhz"], found["virtual"], found["cache_bytes"]) == (None, None, {})
    assert found["model"]


def test_the_load_is_a_number_or_none(monkeypatch):
    assert processor.load() >= 0
    monkeypatch.delattr("os.getloadavg")
    assert processor.load() is None

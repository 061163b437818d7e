"""The processes that time."""

import json
import os
from types import SimpleNamespace

import pytest

from branchynet.errors import DeviceError
from branchynet.experiment import processes
from branchynet.machine.workers import LAUNCHER_VARIABLES


def start(folder, code):
    processes._start_process(SimpleNamespace(argv=["-c", code]), folder)


def test_a_process_that_fails_is_an_error_and_its_status_is_told(tmp_path):
    with pytest.raises(DeviceError, match="a process that times, got exit status 3"):
        start(tmp_path, "raise SystemExit(3)")


def test_a_process_is_told_its_folder_and_belongs_to_no_launcher(tmp_path, monkeypatch):
    for name in LAUNCHER_VARIABLES:
        monkeypatch.setenv(name, "0")
    note = "import json, os, pathlib, sys; name, folder = sys.argv[1:]; "
    start(tmp_path, note + "pathlib.Path(folder, 'told.json').write_text(json.dumps([name, dict(os.environ)]))")
    option, environment = json.loads((tmp_path / "told.json").read_text())
    assert option == processes.TIMING_JOB
    assert not set(environment) & set(LAUNCHER_VARIABLES)
    assert environment["PATH"] == os.environ["PATH"]

"""What a run tells while it runs and at its end, and that Ctrl-C at any time leaves what a next run goes on from."""

import contextlib
import dataclasses
import json
import os
import signal
import sys

import pytest
from tiny_experiment import EXPERIMENT, RESULTS, main

from branchynet import datasets
from branchynet.experiment import processes
from branchynet.experiment.command_line import parse_request
from branchynet.report.html import write_report
from branchynet.training.extensions import Progress

REPORT_PACKAGES = ["jinja2", "vl_convert"]


def test_an_error_is_told_quietly_too(tmp_path, capsys):
    assert main(EXPERIMENT, ["--out", str(tmp_path), "--quiet", "--device", "tpu"]) == 2
    assert "got 'tpu'" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--json"], ["--json", "--quiet"], ["--quiet"]])
def test_json_is_the_record_alone_on_stdout_and_quiet_tells_nothing_else(first, capsys, options):
    assert main(EXPERIMENT, ["--out", str(first), "--seed", "4", "--resume", *options]) == 0
    output = capsys.readouterr()
    record = json.loads((first / "run.json").read_text(encoding="utf-8"))
    assert (json.loads(output.out) if "--json" in options else output.out) == (record if "--json" in options else "")
    assert ("Report: " in output.err) == bool(output.err) == ("--quiet" not in options)


def test_records_know_nothing_of_how_a_run_was_told():
    told, plain = (parse_request(EXPERIMENT, ["--seed", "1", *more]) for more in (["--quiet", "--json"], []))
    assert (told.command, told.recorded, told.out) == (plain.command, plain.recorded, plain.out)


def test_the_path_of_the_report_is_printed_last_and_epochs_go_to_stderr(tmp_path, capsys):
    assert main(EXPERIMENT, ["--out", str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[-1].startswith("Report: ") and "\033" not in output.out
    lines = output.err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"{phase} epoch 1/1" for phase in ("plain", "joint", "longer")]


@pytest.mark.parametrize("package", REPORT_PACKAGES)
def test_without_the_extra_a_run_ends_well_with_one_line_that_says_what_is_missing(
    tmp_path, capsys, monkeypatch, package
):
    monkeypatch.setattr("branchynet.experiment.experiment.write_report", write_report)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("branchynet.report.html.run_page.charts", _charts_anew)
    assert main(EXPERIMENT, ["--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == RESULTS - {"report.html"}
    output = capsys.readouterr()
    told = [line for line in output.err.splitlines() if not line.startswith(("plain", "joint", "longer"))]
    name = package.replace("_", "-")
    assert len(told) == 1 and told[0].startswith(f"no report: a report needs the package {name}")
    assert "Report: " not in output.out


def _charts_anew():
    """What `charts` gives where it has not been called before."""
    from branchynet.report.html import rendering

    return rendering.charts.__wrapped__()


@contextlib.contextmanager
def interrupted_at(place, monkeypatch):
    """Ctrl-C when a run comes to a place: a function's name, or an epoch's end in a training step."""

    def interrupt(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        if place == "data":
            patch.setattr(datasets, "load", interrupt)
        elif place in ("plain", "joint", "longer"):
            step = Progress.__call__
            patch.setattr(
                Progress, "__call__", lambda self, trainer: step(self, trainer) or self.phase == place and interrupt()
            )
        else:
            patch.setattr(place, interrupt)
        yield


@pytest.mark.parametrize(
    "place",
    [
        "data",
        "plain",
        "longer",
        "branchynet.experiment.analysis.shown_logits",
        "branchynet.bench.paths.time_settings",
        "branchynet.experiment.experiment.write_report",
    ],
)
def test_ctrl_c_at_any_time_leaves_what_the_same_command_goes_on_from(tmp_path, capsys, monkeypatch, place):
    argv = ["--out", str(tmp_path)]
    with interrupted_at(place, monkeypatch):
        assert main(EXPERIMENT, argv) == 130
        told = capsys.readouterr().err
        assert told.endswith("tiny.py: stopped; the same command with --resume goes on from what is there\n")
        assert "Traceback" not in told
    trained = {path.name for path in tmp_path.glob("*.npz")}
    assert main(EXPERIMENT, [*argv, "--resume"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == RESULTS
    phases = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert not {phase for phase in phases if f"{phase}.npz" in trained}, "what was trained is not trained again"


def test_after_resume_the_same_command_is_named_as_it_is(tmp_path, capsys, monkeypatch):
    with interrupted_at("data", monkeypatch):
        assert main(EXPERIMENT, ["--out", str(tmp_path), "--resume"]) == 130
    assert "stopped; the same command goes on" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals between processes")
def test_ctrl_c_ends_a_process_that_times_and_it_says_nothing(tmp_path, capfd):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, signal, sys, time\n"
        "pathlib.Path(sys.argv[-1], 'pid').write_text(f'{os.getpid()} {os.getpgid(0)}')\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(60)\n"
    )
    request = dataclasses.replace(parse_request(EXPERIMENT, []), argv=(str(script),))
    with pytest.raises(KeyboardInterrupt):
        processes._start_process(request, tmp_path)
    pid, group = map(int, (tmp_path / "pid").read_text().split())
    assert group != os.getpgid(0), "Ctrl-C on the terminal does not reach it"
    with contextlib.suppress(ChildProcessError):  # its end was noticed already
        os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert capfd.readouterr().err == ""

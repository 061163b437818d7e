"""The version matrix: what is not there, or does not work, is told and counts as a failure."""

import matrix
import pytest


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Keeps environments, logs and the report out of the project."""
    monkeypatch.setattr(matrix, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(matrix, "REPORT", tmp_path / "matrix.md")
    return tmp_path


def test_a_missing_interpreter_is_a_failure_that_is_told(in_tmp, monkeypatch, capsys):
    monkeypatch.setattr(matrix, "MATRIX", (("python3.1000", "numpy==1.26.*"),))
    assert matrix.main() == 1
    row = "| 3.1000 | 1.26.* |  |  |  |  |  | no such interpreter here |"
    assert row in capsys.readouterr().out
    assert row in (in_tmp / "matrix.md").read_text()


@pytest.mark.parametrize(("outcomes", "status"), [(["passed", "passed"], 0), (["passed", "failed"], 1)])
def test_one_failure_fails_the_whole(outcomes, status, in_tmp, monkeypatch):
    rows = [matrix.Row("3.9.18", "1.26.4", "7.8.1", "800", "0", "10", "12", outcome) for outcome in outcomes]
    monkeypatch.setattr(matrix, "MATRIX", (("python3.9", "numpy"),) * 2)
    monkeypatch.setattr(matrix, "run_pair", lambda python, requirement: rows.pop(0))
    assert matrix.main() == status


def test_results_are_counted_from_the_report_of_the_tests(in_tmp, monkeypatch):
    def fake_run(log, *command):
        """Stands in for pytest: one test of four passed."""
        path = command[-1].partition("=")[2]
        with open(path, "w") as file:
            file.write('<testsuites><testsuite tests="4" failures="1" errors="1" skipped="1"/></testsuites>')
        return False

    monkeypatch.setattr(matrix, "_logged", fake_run)
    monkeypatch.setattr(matrix, "_versions", lambda python: ("3.9.18", "1.26.4", "7.8.1"))
    row = matrix.Row("3.9", "1.26.*")
    matrix._run_tests(row, in_tmp, in_tmp / "log")
    assert (row.python, row.numpy, row.chainer, row.outcome) == ("3.9.18", "1.26.4", "7.8.1", "failed")
    assert (row.passed, row.failed, row.skipped) == ("1", "2", "1")

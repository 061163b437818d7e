"""Runs the test suite on several versions of Python and NumPy, and writes what came of it as a Markdown table.

`make matrix` runs it. Each pair has its own virtual environment under .venv-matrix/, which is made once and re-used;
only NumPy and CUDA's compiler are brought up to date in it. An interpreter that is not on this machine counts as a
failure, not as a pass.
"""

import dataclasses
import os
import pathlib
import platform
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
CACHE = pathlib.Path(".venv-matrix")
REPORT = ROOT / "tests" / "matrix.md"

# (interpreter, what is asked of pip)
MATRIX = (
    ("python3.9", "numpy==1.26.*"),
    ("python3.11", "numpy"),
    ("python3.13", "numpy"),
)

# CUDA's compiler: the kernels are compiled for every GPU since Volta, on a machine that has none.
NVRTC = "nvidia-cuda-nvrtc-cu12"

HEADER = ("Python", "NumPy", "Chainer", "passed", "failed", "skipped", "seconds", "outcome")


@dataclasses.dataclass
class Row:
    """What came of one pair: a line of the table, cells in the order of `HEADER`.

    Attributes:
        python, numpy, chainer: versions that were used, or asked for where it did not come to that.
        passed, failed, skipped: numbers of tests; an error counts as failed.
        seconds: of the tests, without installing.
        outcome: "passed", or what went wrong.
    """

    python: str
    numpy: str
    chainer: str = ""
    passed: str = ""
    failed: str = ""
    skipped: str = ""
    seconds: str = ""
    outcome: str = ""

    def cells(self) -> tuple:
        """The cells as text."""
        return dataclasses.astuple(self)


def run_pair(python, requirement) -> Row:
    """Installs one pair, runs the tests on it, and tells what came of it."""
    row = Row(python.removeprefix("python"), requirement.removeprefix("numpy").lstrip("=") or "newest")
    name = f"{python}-{requirement.strip('=.*').replace('==', '')}"
    venv = CACHE / name
    log = ROOT / CACHE / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("")
    if not _logged(log, _make(), "interpreter", f"PYTHON={python}"):
        row.outcome = "no such interpreter here"
    elif not _logged(log, _make(), "install", f"PYTHON={python}", f"VENV={venv}"):
        row.outcome = "does not install"
    elif not _logged(log, venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--upgrade", requirement, NVRTC):
        row.outcome = f"{requirement} or {NVRTC} does not install"
    else:
        _run_tests(row, venv, log)
    if row.outcome != "passed":
        print(f"{python}, {requirement}: {row.outcome}; the end of {os.path.relpath(log, ROOT)}:", file=sys.stderr)
        print("\n".join(log.read_text(errors="replace").splitlines()[-20:]), file=sys.stderr)
    return row


def _run_tests(row, venv, log):
    """Fills in the versions and what the tests said."""
    python = venv / "bin" / "python"
    row.python, row.numpy, row.chainer = _versions(python)
    results = ROOT / venv / "results.xml"
    results.unlink(missing_ok=True)
    start = time.monotonic()
    shared_out = ("-n", "auto", "--dist", "loadfile")
    ok = _logged(
        log, python, "-m", "pytest", "-q", "-rfE", *shared_out, "-p", "no:cacheprovider", f"--junitxml={results}"
    )
    row.seconds = f"{time.monotonic() - start:.0f}"
    row.outcome = "passed" if ok else "failed"
    if results.exists():
        suite = xml.etree.ElementTree.parse(results).getroot().find("testsuite")
        tests, skipped = int(suite.get("tests")), int(suite.get("skipped"))
        failed = int(suite.get("failures")) + int(suite.get("errors"))
        row.passed, row.failed, row.skipped = str(tests - failed - skipped), str(failed), str(skipped)


def _versions(python):
    """Versions of Python, NumPy and Chainer in an environment."""
    code = (
        "import importlib.metadata as m, platform;"
        "print(platform.python_version(), m.version('numpy'), m.version('chainer'))"
    )
    return subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def _make():
    return os.environ.get("MAKE", "make")


def _logged(log, *command):
    """Runs a command with its output in the log; whether it succeeded."""
    with log.open("a") as file:
        return subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode == 0


def markdown(rows) -> str:
    """The table."""
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells() for row in rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def commit() -> str:
    """What git calls the clone's state; the counts are of that code."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.check_output(command, text=True).strip()
    except (OSError, subprocess.SubprocessError):
        return "no commit"


def main() -> int:
    """Runs every pair; the exit status is 0 if all passed."""
    rows = []
    for number, (python, requirement) in enumerate(MATRIX, start=1):
        print(f"{number} of {len(MATRIX)}: {python} with {requirement} ...", flush=True)
        rows.append(run_pair(python, requirement))
    table = markdown(rows)
    print(f"\n{table}")
    machine = f"{platform.system()} {platform.machine()}"
    date = time.strftime("%Y-%m-%d", time.gmtime())
    REPORT.write_text(f"`make matrix`, {date}, {commit()}, {machine}.\n\n{table}", "utf-8")
    print(f"written to {os.path.relpath(REPORT, ROOT)}")
    return 0 if all(row.outcome == "passed" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Hostile command lines: each ends at once, with status 2 and one line that says what was expected.

`{file}` is a file that is no folder, `{record}` a file with the JSON of the kind, `{runs}` a folder that holds it as run.json.
"""

# ruff: noqa: E501  (tables)

import argparse
import importlib
import os
import pathlib
import re
import subprocess
import sys

import pytest
from PIL import Image

from branchynet.datasets import TRANSFORMS
from branchynet.errors import UserError
from branchynet.experiment import main, nonempty_path, seed_number, whole_number
from branchynet.machine import terminal
from branchynet.machine.ending import exit_status
from branchynet.machine.files import locked

EXPERIMENTS = pathlib.Path(__file__).resolve().parents[2] / "experiments"
RUNS = ("lenet_mnist", "alexnet_cifar10", "resnet_cifar10")
SEEDED = (*RUNS, "benchmark", "benchmark_precision", "benchmark_training", "figures", "future_work")
WRITING = (*SEEDED, "compare_training", "compare", "table")
NO_SEEDS = {
    "-1": ">= 0",
    "4294967296": "<= 4294967295",
    "9" * 30: "<= 4294967295",
    "1.5": "whole number",
    "nan": "whole number",
    "": "whole number",
}

# (script, command line, what the message says)
LINES = [
    *[(script, f"--seed={text} --out=/proc/no", words) for script in SEEDED for text, words in NO_SEEDS.items()],
    *[("compare_training", f"--seeds={text} --out=/proc/no", words) for text, words in NO_SEEDS.items()],
    *[(script, "--out=", "expected a path, got ''") for script in WRITING],
    *[(script, "--out=/proc/no", "expected a folder that can be written, got /proc/no") for script in WRITING if script != "benchmark_training"],
    *[(script, "--out={file}", "expected a folder that can be written") for script in WRITING if script not in ("benchmark", "benchmark_training")],
    ("benchmark_training", "--out={file}/x.json", "expected a folder that can be written"),
    ("benchmark_training", "--memory-of=nope", "--memory-of: expected one of branchynet, "),
    *[("benchmark_training", f"--{line}", "expected a whole number >= ") for line in ("rounds=1", "batch-size=0", "threads=none")],
    *[("benchmark_training", f"--{line}=1000000000", f">= {low} and <= ") for line, low in (("rounds", 2), ("batch-size", 1), ("threads", 1), ("settle", 1))],
    ("benchmark", "--out={folder} --batch-sizes 1 1000000000", "expected a whole number >= 1 and <= 131072"),
    ("benchmark", "--out=x --networks lenet alexnet-paper --thresholds 0.5", "name it: --networks lenet"),
    ("benchmark", "--out=x --networks nothing", "invalid choice: 'nothing'"),
    ("benchmark", "--out=x --budget 0", "--budget: expected a number > 0"),
    ("benchmark", "--out=x --batch-sizes 0", "--batch-sizes: expected"),
    ("benchmark", "--out=x --thresholds 0.5 --paper-mix", "not allowed with"),
    ("figures", "--out={folder} --depths 0 1000000000", "expected a whole number >= 0 and <= 100"),
    *[(script, "--processes-timed=1000000000", "expected a whole number >= 1 and <= 100") for script in RUNS],
    *[(script, "--data-dir= --out={folder}", "--data-dir: expected a path, got ''") for script in (*SEEDED, "compare_training", "page") if script != "benchmark_training"],
    ("page", "--out=", "expected a path, got ''"),
    ("page", "--out={file}/x.html", "expected a folder that can be written"),
    ("benchmark", "--weights= --out={folder}", "--weights: expected a path, got ''"),
    *[(script, "--plain-from= --out={folder}", "--plain-from: expected a path, got ''") for script in (*RUNS, "compare_training")],
    *[(script, "--weights= --out={folder}", "--weights: expected a path, got ''") for script in RUNS],
    *[(script, f"--{option}=/nowhere --out={{folder}}", "expected a folder that is there, got '/nowhere'") for script, option in (("table", "gpu"), ("future_work", "training"))],
    ("resnet_cifar10", "--n=1000000000", "expected a whole number >= 1 and <= 200"),
    ("resnet_cifar10", "--n=0", "expected a whole number >= 1"),
    *[(script, "--budget=nan --out=/proc/no", "expected a finite number") for script in ("benchmark", "future_work")],
    ("benchmark", "--out={folder} --thresholds=inf", "expected a finite number"),
    *[(script, f"--budget={text}", "expected a") for script in RUNS for text in ("nan", "0", "-1", "inf", "x")],
    *[(script, f"--processes-timed={text}", "whole number") for script in RUNS for text in ("0", "-1", "x")],
    *[(script, f"--{option}=0", "expected a whole number >= 1") for script in RUNS for option in ("epochs-plain", "epochs-joint", "batch-size")],
    *[(script, f"--{option}=nan", "expected a finite number") for script in RUNS for option in ("average", "loss-weights", "thresholds")],
    *[(script, f"--loss-weights {text}", "error: loss_weights: expected a tuple of finite numbers >= 0, not all 0, got ") for script in RUNS for text in ("0 0", "0 -0")],
    *[(script, "--loss-weights -1 1", "error: loss_weights: expected finite numbers >= 0, not all 0, got -1.0") for script in RUNS],
    *[(script, f"--epochs-{step}=3000000000", "error: epochs: expected a whole number >= 1 and < 2**31, got 3000000000") for script in RUNS for step in ("plain", "joint")],
    *[(script, "--batch-size=3000000000", "error: batch_size: expected a whole number >= 1 and < 2**31, got 3000000000") for script in RUNS],
    *[("table", f"{{record:{text}}} --out={{folder}}", "expected a record with schema") for text in ("{}", "[]", "null", "1", '{"schema":[]}', '{"schema":2.5}')],
    *[("table", f"{{record:{text}}} --out={{folder}}", "expected") for text in ("", "{", "NaN", "[" * 10**5)],
    *[(script, f"{{{word}:{text}}} --out={{folder}}", "run.json: run: ") for script, word in (("table", "record"), ("compare", "runs")) for text in ('{"schema":2}', '{"schema":2,"points":null}')],
    *[("compare", f"{{runs:{text}}} --out={{folder}}", "expected") for text in ("{}", "[]", "null", "1", "", "{", "[" * 10**5)],
    ("table", "/proc/no.json --out={folder}", "expected a record"),
    ("compare", "/proc/no --out={folder}", "expected a record"),
]  # fmt: skip


def called(script, argv):
    """The exit status of a script in this process."""
    module = importlib.import_module(script)
    try:
        return main(module.EXPERIMENT, argv) if hasattr(module, "EXPERIMENT") else module.main(argv)
    except SystemExit as end:
        return end.code


def filled(word, folder):
    """A word of a command line, with files in place of what stands in braces."""
    start, colon, text = word.partition(":")
    if start in ("{record", "{runs"):
        path = folder / "run.json"
        path.write_text(text[:-1])
        return str(path if start == "{record" else folder)
    (folder / "file").touch()
    return word.replace("{file}", str(folder / "file")).replace("{folder}", str(folder / "out"))


@pytest.mark.parametrize(("script", "line", "message"), LINES, ids=lambda text: str(text)[:40])
def test_a_hostile_command_line_ends_with_one_line_that_says_what_was_expected(script, line, message, tmp_path, capsys):
    assert called(script, [filled(word, tmp_path) for word in line.split(" ")]) == 2
    error = capsys.readouterr().err
    assert message in error and "error: " in error and "Traceback" not in error


@pytest.mark.parametrize("script", [*RUNS, "benchmark_precision", "compare_training", "figures", "future_work"])
def test_of_two_at_once_in_one_folder_the_second_is_refused(script, tmp_path, capsys):
    with locked(tmp_path, "run"):
        assert called(script, ["--out", str(tmp_path)]) == 2
    assert "error: " in (error := capsys.readouterr().err) and error.count("\n") == 1
    assert "expected a folder that no other run writes into, got one that is in use" in error
    assert list(tmp_path.iterdir()) == []


def test_there_are_many_command_lines():
    assert len(LINES) == len({(script, line) for script, line, _ in LINES}) > 100


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("4294967295", 2**32 - 1)])
def test_the_first_and_the_last_seed_are_taken(text, number):
    assert seed_number(text) == number


def test_a_range_has_both_its_ends():
    assert [whole_number(1, 3)(text) for text in "123"] == [1, 2, 3]
    for text in "04":
        with pytest.raises(argparse.ArgumentTypeError, match=f">= 1 and <= 3, got '{text}'"):
            whole_number(1, 3)(text)


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_what_names_no_path_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a path"):
        nonempty_path(text)


@pytest.mark.skipif(os.name != "posix", reason="pipes of another kind")
def test_a_reader_that_has_gone_and_a_terminal_without_the_character_end_without_a_traceback(tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "digit.png")
    command = [sys.executable, "-OO", "-m", "branchynet", "classify", tmp_path / "digit.png"]
    reading, writing = os.pipe()
    os.close(reading)
    gone = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, cwd=EXPERIMENTS.parent
    )
    os.close(writing)
    assert (gone.returncode, gone.stderr) == (141, "")
    command, ascii_only = [sys.executable, EXPERIMENTS / "table.py", "--out", tmp_path], {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env={**os.environ, **ascii_only}, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and "?" in done.stdout


ENDING = """
import sys
from branchynet.errors import UserError
from branchynet.machine.ending import exit_status
def run():
    print("a line")
    if sys.argv[1:]:
        raise UserError("what is wrong")
sys.exit(exit_status("x", run))
"""


@pytest.mark.skipif(os.name != "posix", reason="another shell")
@pytest.mark.parametrize(
    ("redirections", "arguments", "status", "stdout", "stderr"),
    [
        (">&-", "", 0, "", ""),
        (">&-", "wrong", 2, "", "x: error: what is wrong\n"),
        ("2>&-", "wrong", 2, "a line\n", ""),
        (">&- 2>&-", "wrong", 2, "", ""),
        ("<&- >&- 2>&-", "", 0, "", ""),
    ],
)
def test_streams_that_are_closed_from_the_start_are_no_error(redirections, arguments, status, stdout, stderr):
    line = f'exec "$0" -c "$1" {arguments} {redirections}'
    command = ["sh", "-c", line, sys.executable, ENDING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=EXPERIMENTS.parent)
    assert (done.returncode, done.stdout, done.stderr) == (status, stdout, stderr)


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_the_status_of_an_interrupted_script_is_that_of_a_shell(error, capsys):
    def run():
        if error is not None:
            raise error

    assert exit_status("x.py", run) == (130 if error else 0)


# What computes for more than a few seconds: (script, the least that it is told).
LONG = {
    **{script: ["--out=x"] for script in ("benchmark", "benchmark_precision", "compare_training", "figures")},
    **{"benchmark_training": [], "future_work": [], "page": []},
}


@pytest.mark.parametrize("script", LONG)
def test_ctrl_c_says_how_to_go_on_and_quiet_leaves_nothing_but_errors(script, monkeypatch, capsys):
    module, todo = importlib.import_module(script), [KeyboardInterrupt(), UserError("what is wrong"), None]

    def run(*arguments):
        print("a table")
        terminal.say("a line")
        if (error := todo.pop(0)) is not None:
            raise error

    monkeypatch.setattr(module, "_run", run)
    assert module.main(LONG[script]) == 130
    told = capsys.readouterr()
    assert told.out == "a table\n" and re.fullmatch(rf"a line\n\n{script}\.py: stopped; .{{15,}}\n", told.err)
    assert module.main([*LONG[script], "--quiet"]) == 2
    assert tuple(capsys.readouterr()) == ("", f"{script}.py: error: what is wrong\n")
    assert module.main([*LONG[script], "--quiet"]) == 0
    assert tuple(capsys.readouterr()) == ("", "")


@pytest.mark.parametrize("script", ["benchmark_training", "compare_training"])
def test_an_error_in_one_of_several_workers_ends_all(script, first_of_two, monkeypatch, capsys):
    def run(*arguments):
        raise UserError("what is wrong")

    module = importlib.import_module(script)
    monkeypatch.setattr(module, "_run", run)
    assert module.main(LONG[script]) == 2 and first_of_two.aborted == [2]
    assert capsys.readouterr().err == f"{script}.py: error: what is wrong\n"


@pytest.mark.parametrize("script", WRITING)
def test_help_needs_no_docstring_which_python_may_have_removed(script, monkeypatch, capsys):
    monkeypatch.setattr(importlib.import_module(script), "__doc__", None)
    assert called(script, ["--help"]) == 0
    assert "--out" in capsys.readouterr().out


@pytest.mark.parametrize("script", RUNS)
def test_help_explains_the_options_and_just_the_transforms_that_there_are(script, capsys):
    called(script, ["--help"])
    lines, transforms = capsys.readouterr().out.splitlines(), importlib.import_module(script).EXPERIMENT.transforms
    text = " ".join(" ".join(lines).split())
    for option in ["preset", "device", "dataset", "data-dir", "out", "seed", "resume", "thresholds", "choose"]:
        assert f"--{option}" in text
    assert len(lines) <= 86
    assert {name: f"{name}: " in text for name in TRANSFORMS} == {name: name in transforms for name in TRANSFORMS}

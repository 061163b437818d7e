"""Reading and writing records: JSON, CSV and text, each file whole or not at all."""

import csv
import json
import math
import pathlib
import tempfile

import numpy as np

from branchynet.errors import OutputError, RecordError
from branchynet.machine import reading
from branchynet.machine.files import replacing
from branchynet.records.schema import check_run

# The columns of sweep.csv after the network's name, and the keys of a point that they hold.
_SAME = ("thresholds", "exit_pct", "split", "paper_clock_ms", "paper_clock_gain", "on_front")
_SWEEP = {
    "accuracy_pct": "accuracy_pct",
    "time_ms": "end_to_end_ms",
    "gain": "end_to_end_gain",
    **dict(zip(_SAME, _SAME)),
}


def prepare_output(directory) -> pathlib.Path:
    """Creates a folder for results, and finds out whether it can be written before hours of training, not after.

    Returns:
        the folder as a path.

    Raises:
        OutputError: it cannot be created, is not a folder, or no file can be written there.
    """
    directory = pathlib.Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as handle:
            handle.write(b"can be written")
            handle.flush()
    except OSError as error:
        problem = f"{directory} ({error.strerror or error})"
        raise OutputError(f"results: expected a folder that can be written, got {problem}") from error
    return directory


def write_text(path, text: str) -> None:
    """Writes text in UTF-8.

    Raises:
        OutputError: the file cannot be written; what was there stays.
    """
    with replacing(path, "w", encoding="utf-8", newline="\n") as handle:
        handle.write(text)


def write_json(path, value) -> None:
    """Writes a value as JSON; NumPy scalars and arrays become numbers and lists, tuples become lists.

    Raises:
        ValueError: a number is not finite, which JSON cannot say, or a value is of a kind that JSON does not know; the
            message names its place. Nothing is written.
        OutputError: the file cannot be written; what was there stays.
    """
    name = pathlib.Path(path).name
    write_text(path, json.dumps(_plain(value, name), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path):
    """Reads what `write_json` wrote.

    Raises:
        RecordError: there is no such file, it is not JSON in UTF-8, or it holds NaN or Infinity.
    """
    try:
        return reading.read_json(path)
    except reading.BadFile as error:
        raise RecordError(f"{path}: expected a record as JSON: {error}") from error


def read_run(path) -> dict:
    """Reads the record of a run, and checks it.

    Raises:
        RecordError: there is no such file, it is no record of a run, or it is one of another schema.
    """
    run = read_json(path)
    try:
        check_run(run)
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error
    return run


def write_sweep(path, run: dict) -> None:
    """Writes `sweep.csv`: one row for each point of a run's sweep.

    The first columns are those of the tables in experiments/reference; `time_ms` and `gain` there are end to end here.
    Values in a list (thresholds in nats, exit_pct) stand between spaces.

    Raises:
        OutputError: the file cannot be written; what was there stays.
    """
    with replacing(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["network", *_SWEEP])
        for point in run["points"]:
            writer.writerow([run["branchy_network"], *(_cell(point[key]) for key in _SWEEP.values())])


def _cell(value):
    """A value of a point as text; a number without the last digits, which are rounding."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(_cell, value))
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.10g}"


def _plain(value, where):
    """A value as JSON knows it; `where` is its place, for the message."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(below, f"{where}: {key}") for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(below, f"{where}[{index}]") for index, below in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, got {value}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{where}: expected a value that JSON knows, got {type(value).__name__}")

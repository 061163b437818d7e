"""Reading and writing records: JSON, CSV and text, each file whole or not at all."""

from __future__ import annotations

import csv
import json
import math
import pathlib
import tempfile

import numpy as np

from branchynet.errors import OutputError
from branchynet.files import replacing


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
        raise OutputError(
            f"results: expected a folder that can be written, got {directory} ({error.strerror or error})"
        ) from error
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
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not JSON in UTF-8, or holds NaN or Infinity.
    """

    def refuse(constant):
        raise ValueError(f"expected finite numbers, got {constant}")

    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"), parse_constant=refuse)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are
        raise ValueError(f"{path}: expected a record as JSON: {error}") from error


def write_csv(path, rows) -> None:
    """Writes rows, dictionaries with the same keys; the keys of the first row are the heading.

    Raises:
        ValueError: there are no rows, or a row has other keys than the first.
        OutputError: the file cannot be written; what was there stays.
    """
    rows = list(rows)
    if not rows:
        raise ValueError(f"{pathlib.Path(path).name}: expected at least one row, got none")
    columns = list(rows[0])
    for number, row in enumerate(rows):
        if set(row) != set(columns):
            raise ValueError(f"row {number}: expected the columns {', '.join(columns)}, got {', '.join(row)}")
    with replacing(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_sweep(path, run: dict) -> None:
    """Writes `sweep.csv`: one row for each point of a run's sweep.

    The first columns are those of the tables in experiments/reference; `time_ms` and `gain` there are end to end here.
    Values in a list (thresholds in nats, exit_pct) stand between spaces.
    """
    write_csv(path, [_sweep_row(run["branchy_network"], point) for point in run["points"]])


def _sweep_row(network, point):
    return {
        "network": network,
        "accuracy_pct": _number(point["accuracy_pct"]),
        "time_ms": _number(point["end_to_end_ms"]),
        "gain": _number(point["end_to_end_gain"]),
        "thresholds": " ".join(_number(value) for value in point["thresholds"]),
        "exit_pct": " ".join(_number(value) for value in point["exit_pct"]),
        "split": point["split"],
        "paper_clock_ms": _number(point["paper_clock_ms"]),
        "paper_clock_gain": _number(point["paper_clock_gain"]),
        "on_front": int(point["on_front"]),
    }


def _number(value):
    """A number without the last digits, which are rounding; an empty cell where there is none."""
    return "" if value is None else f"{value:.10g}"


def _plain(value, where):
    """A value as JSON knows it; `where` is its place, for the message."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): _plain(below, f"{where}: {key}") for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(below, f"{where}[{index}]") for index, below in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: expected a finite number, got {value}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{where}: expected a value that JSON knows, got {type(value).__name__}")

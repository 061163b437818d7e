"""A run on one screen of the terminal."""

from __future__ import annotations

import os
import textwrap

from branchynet.report import formats
from branchynet.report.rows import baseline_rows, our_rows, published_rows

MAX_COLUMNS = 100

_HEADINGS = ("", "Acc. (%)", "Time (ms)", "Gain", "Exit (%)", "T")
_WIDTHS = (31, 9, 10, 19, 14, 11)


def summary(run: dict, published: dict, out_dir) -> str:
    """What came out, for the terminal; `out_dir` is the folder of the results.

    Returns:
        plain text, at most 24 lines of at most 100 columns; only the name of the folder may be longer.
    """
    rows = [(row.network, row) for row in baseline_rows(run)[:4]]
    rows += [(f"{row.network}, {row.clock.short}", row) for row in our_rows(run)]
    rows += [(f"{row.source}: {row.network}", row) for row in published_rows(run, published)]
    lines = [
        f"{run['branchy_network']} on {run['dataset']}, preset {run['preset']}, seed {run['seed']}, {run['engine']}",
        f"{run['device'].upper()}: {formats.machine(run)}",
        "",
        _line(_HEADINGS),
        *(_line(_cells(name, row)) for name, row in rows),
        "",
        *_remarks(run),
    ]
    return "\n".join([*map(_cut, lines), f"Table, figures and records: {shorter_path(out_dir)}"])


def _cells(name, row):
    accuracy, time, gain, thresholds, _ = row.cells(1)
    return name, accuracy, time, gain, formats.exit_shares(row.exit_pct, decimals=1), thresholds


def _line(cells):
    """Cells in columns: the two columns of plain numbers to the right, text to the left; short, and ASCII only."""
    short = {formats.NOT_MEASURED: "-"}
    name, accuracy, time, gain, *lists = (short.get(cell, cell).replace("\N{EN DASH}", "-") for cell in cells)
    numbers = f"{name:<{_WIDTHS[0]}}{accuracy:>{_WIDTHS[1]}}{time:>{_WIDTHS[2]}}"
    texts = [gain, *(cell.replace(", ", " ") for cell in lists)]
    return "  ".join([numbers, *(f"{cell:<{width}}" for cell, width in zip(texts, _WIDTHS[3:]))]).rstrip()


def _cut(line):
    return line if len(line) <= MAX_COLUMNS else line[: MAX_COLUMNS - 4] + " ..."


def _remarks(run):
    exits = ", ".join(
        f"exit {entry['exit']} {formats.mean_ms(entry['latency_ms'])} ms "
        f"({formats.accuracy(entry['accuracy_pct']['test'])} %)"
        for entry in run["exits"]
    )
    choice = run["choice"]
    on_test = choice["chosen_on_test"]
    accuracy = formats.accuracy(on_test["accuracy_pct"])
    return [
        *_wrapped(f"If all leave there: {exits}"),
        *_wrapped(f"T chosen on {choice['split']}: {choice['rule']}"),
        f"T chosen on test, as the paper did: {formats.thresholds(on_test['thresholds'])}, with {accuracy} %",
        "Times are per sample, one at a time. End to end is all that a caller waits for; the paper's clock",
        "counts the trunk only, in plain Chainer. Published times are from other machines, by that clock.",
    ]


def _wrapped(text):
    return textwrap.wrap(text, MAX_COLUMNS, max_lines=2, subsequent_indent="  ")


def shorter_path(path):
    """The path from the current folder where that is shorter."""
    absolute = os.path.abspath(path)
    try:
        return min(os.path.relpath(absolute), absolute, key=len)
    except ValueError:  # on another drive
        return absolute

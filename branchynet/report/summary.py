"""A run on one screen of the terminal."""

import os
import textwrap

from branchynet.report import formats
from branchynet.report.rows import baseline_rows, our_rows, published_rows

MAX_COLUMNS = 100

_HEADINGS = ("", "Acc. %", "ms", "Gain", "Exit %", "T")


def summary(run: dict, published: dict, out_dir, stressed=str) -> str:
    """What came out, for the terminal.

    Args:
        run, published: as everywhere in this room.
        out_dir: folder of the results.
        stressed: function line -> line, of the headings and of the row that answers the question: branchy, end to end.

    Returns:
        plain text, at most 24 lines of at most 100 columns; only the name of the folder may be longer.
    """
    rows = [(row.network, row) for row in baseline_rows(run)[:4]]
    answer = 1 + len(rows)  # under the headings
    rows += [(f"{row.network}, {row.clock.short}", row) for row in our_rows(run)]
    rows += [(f"{row.source}: {row.network}", row) for row in published_rows(run, published)]
    lines = [
        f"{run['branchy_network']} on {run['dataset']}, preset {run['preset']}, seed {run['seed']}, {run['engine']}",
        f"{run['device'].upper()}: {formats.machine(run)}",
        "",
    ]
    table = [
        stressed(line) if number in (0, answer) else line
        for number, line in enumerate(map(_cut, _aligned([_HEADINGS, *(_cells(name, row) for name, row in rows)])))
    ]
    remarks = map(_cut, ["", *_remarks(run)])
    return "\n".join([*map(_cut, lines), *table, *remarks, f"Table, figures and records: {shorter_path(out_dir)}"])


def _cells(name, row):
    accuracy, time, gain, thresholds, _ = row.cells(1)
    exits = formats.exit_shares(row.exit_pct, decimals=1)
    return name, accuracy, time, gain, *(cell.replace(", ", " ") for cell in (exits, thresholds))


def _aligned(rows):
    """Lines of cells in columns: the two columns of plain numbers to the right, text to the left; ASCII only."""
    rows = [[_short(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    sides = "<>><<<"
    for row in rows:
        yield "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths)).rstrip()


def _short(cell):
    return "-" if cell == formats.NOT_MEASURED else cell.replace("\N{EN DASH}", "-")


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
        *_busy(run["environment"]),
        *_wrapped(f"If all leave there: {exits}"),
        *_wrapped(f"T chosen on {choice['split']}: {choice['rule']}"),
        f"T chosen on test, as the paper did: {formats.thresholds(on_test['thresholds'])}, with {accuracy} %",
        "Times are per sample, one at a time. End to end is all that a caller waits for; the paper's clock",
        "counts the trunk only, in plain Chainer. Published times are from other machines, by that clock.",
    ]


def _busy(environment):
    """A warning where more processes wanted the cores than there are, when the times had been taken."""
    load, n_cores = environment.get("load", {}).get("after"), environment.get("n_cores")
    if load is None or n_cores is None or load <= n_cores + 0.5:
        return []
    return [f"The machine was busy (load {load:.1f}, {n_cores} cores): times, and a T chosen by them, may be wrong"]


def _wrapped(text):
    return textwrap.wrap(text, MAX_COLUMNS, max_lines=2, subsequent_indent="  ")


def shorter_path(path):
    """The path from the current folder where that is shorter."""
    absolute = os.path.abspath(path)
    try:
        return min(os.path.relpath(absolute), absolute, key=len)
    except ValueError:  # on another drive
        return absolute

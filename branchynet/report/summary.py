"""A run on one screen of the terminal."""

from __future__ import annotations

import os
import textwrap

from branchynet.records.reference import select
from branchynet.report import formats

MAX_LINES, MAX_COLUMNS = 24, 100

_HEADINGS = ("", "Acc. (%)", "Time (ms)", "Gain", "Exit (%)", "T")
_WIDTHS = (31, 9, 10, 19, 14, 11)


def summary(run: dict, reference: dict, out_dir) -> str:
    """What came out, for the terminal.

    Args:
        run: a run's record (`branchynet.records`).
        reference: tables of the paper and the authors, as of `load_reference`.
        out_dir: folder of the results.

    Returns:
        plain text, at most 24 lines of at most 100 columns; only the name of the folder may be longer.
    """
    lines = [
        f"{run['branchy_network']} on {run['dataset']}, preset {run['preset']}, seed {run['seed']}, {run['engine']}",
        f"{run['device'].upper()}: {formats.machine(run)}",
        "",
        _line(_HEADINGS),
        *(_line(cells) for cells in [*_our_cells(run), *_published_cells(select(run, reference))]),
        "",
        *_remarks(run),
    ]
    return "\n".join([*(_cut(line) for line in lines), f"Table, figures and records: {_shorter_path(out_dir)}"])


def _our_cells(run):
    cells = [
        (row["name"], formats.accuracy(row["accuracy_pct"]), formats.mean_ms(row["latency_ms"]), "", "", "")
        for row in run["baselines"][:4]
    ]
    measured = run["measured"]
    for clock, gain, name in (
        ("end_to_end", "end_to_end_gain", "end to end"),
        ("end_to_end", "gain_over_chainer", "over plain Chainer"),
        ("paper_clock", "paper_clock_gain", "paper's clock"),
    ):
        cells.append(
            (
                f"{run['branchy_network']}, {name}",
                formats.accuracy(measured["accuracy_pct"]),
                formats.mean_ms(measured[f"{clock}_ms"]),
                formats.gain(measured[gain]),
                formats.exit_shares(measured["exit_pct"], decimals=1),
                formats.thresholds(measured["thresholds"]),
            )
        )
    return cells


def _published_cells(published):
    rows = (
        ("Paper: ", published.paper_baseline),
        ("Paper: ", published.paper_branchy),
        ("Authors' notebook: ", published.authors_baseline),
        ("Authors' notebook: ", published.authors_chosen),
    )
    return [
        (
            source + row["network"],
            formats.accuracy(row["accuracy_pct"]),
            f"{row['time_ms']:g}",
            formats.published_gain(row["gain"]),
            formats.exit_shares(row["exit_pct"], decimals=1),
            formats.thresholds(row["thresholds"]),
        )
        for source, row in rows
        if row is not None
    ]


def _line(cells):
    """Cells in columns: the two columns of plain numbers to the right, text to the left; short, and ASCII only."""
    short = {formats.NOT_MEASURED: "-"}
    name, accuracy, time, gain, *lists = (short.get(cell, cell).replace("\N{EN DASH}", "-") for cell in cells)
    numbers = f"{name:<{_WIDTHS[0]}}{accuracy:>{_WIDTHS[1]}}{time:>{_WIDTHS[2]}}"
    cells = [gain, *(cell.replace(", ", " ") for cell in lists)]
    return "  ".join([numbers, *(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS[3:]))]).rstrip()


def _cut(line):
    return line if len(line) <= MAX_COLUMNS else line[: MAX_COLUMNS - 4] + " ..."


def _remarks(run):
    exits = ", ".join(f"exit {entry['exit']} {_cost_and_accuracy(entry)}" for entry in run["exits"])
    choice = run["choice"]
    paper_way = choice["paper_way"]
    return [
        *textwrap.wrap(f"If all leave there: {exits}", MAX_COLUMNS, max_lines=2, subsequent_indent="  "),
        *textwrap.wrap(
            f"T chosen on {choice['split']}: {choice['rule']}", MAX_COLUMNS, max_lines=2, subsequent_indent="  "
        ),
        f"Chosen on test, the paper's way: T = {formats.thresholds(paper_way['thresholds'])}, "
        f"{formats.accuracy(paper_way['accuracy_pct'])} %",
        "Times are per sample, one at a time. End to end is all that a caller waits for; the paper's clock",
        "counts the trunk only, in plain Chainer. Published times are from other machines, by that clock.",
    ]


def _cost_and_accuracy(entry):
    return f"{formats.mean_ms(entry['latency_ms'])} ms ({formats.accuracy(entry['accuracy_pct']['test'])} %)"


def _shorter_path(path):
    """The path from the current folder where that is shorter."""
    absolute = os.path.abspath(path)
    try:
        return min(os.path.relpath(absolute), absolute, key=len)
    except ValueError:  # on another drive
        return absolute

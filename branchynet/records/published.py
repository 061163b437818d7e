"""The paper's figures and those of the authors' notebooks (experiments/reference), for comparison with a run's."""

from __future__ import annotations

import csv
import dataclasses
import pathlib

from branchynet.errors import RecordError

# The data sets of the paper (section IV): on another one its figures say nothing.
DATASETS = {"LeNet": "mnist", "AlexNet": "cifar10", "ResNet-110": "cifar10"}
_COLUMNS = ("network", "accuracy_pct", "time_ms", "gain", "thresholds", "exit_pct")


@dataclasses.dataclass(frozen=True)
class Published:
    """What others published for the network, data set and device of one run.

    A row is {network, accuracy_pct, time_ms, gain (or None), thresholds, exit_pct (tuples)}.
    """

    paper_plain: dict | None = None  # of the paper's Table I
    paper_branchy: dict | None = None  # of the paper's Table I
    authors_plain: dict | None = None  # of the authors' notebook
    # Rows of the authors' notebook, one for each setting of T; empty where there is no notebook.
    authors_sweep: tuple = ()
    # The one of them to compare with: at the paper's T; where it is not among them, the most accurate, the faster of
    # two equals.
    authors_chosen: dict | None = None


def load_published(directory) -> dict:
    """Reads the tables of the paper and of the authors' notebooks.

    Args:
        directory: folder with paper_table1.csv and authors_notebook_*.csv; a file that is not there counts as empty,
            so that an experiment of one's own needs none.

    Returns:
        {"paper": rows, with the key device ("cpu" or "gpu"), "authors": rows of all notebooks}

    Raises:
        RecordError: a table lacks a column, or a cell is not a number.
    """
    directory = pathlib.Path(directory)
    table = directory / "paper_table1.csv"
    return {
        "paper": _read_rows(table) if table.exists() else [],
        "authors": [row for path in sorted(directory.glob("authors_notebook_*.csv")) for row in _read_rows(path)],
    }


def select(run: dict, published: dict) -> Published:
    """The rows of `load_published` to compare a run with: same network and data set and, for the paper, same device."""
    if DATASETS.get(run["network"]) != run["dataset"]:
        return Published()
    paper = {row["network"]: row for row in published["paper"] if row["device"] == run["device"]}
    paper_branchy = paper.get(run["branchy_network"])
    plain = next((row for row in published["authors"] if row["network"] == run["network"]), None)
    sweep = tuple(row for row in published["authors"] if row["network"] == run["branchy_network"])
    return Published(paper.get(run["network"]), paper_branchy, plain, sweep, _choose(sweep, paper_branchy))


def _choose(sweep, paper_branchy):
    """The row of a notebook at the paper's T, or the most accurate one."""
    for row in sweep:
        if paper_branchy is not None and row["thresholds"] == paper_branchy["thresholds"]:
            return row
    return min(sweep, key=lambda row: (-row["accuracy_pct"], row["time_ms"]), default=None)


def _read_rows(path):
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            return [_parse(row) for row in csv.DictReader(handle)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(
            f"{path}: expected the columns {', '.join(_COLUMNS)}, with numbers in them: {error}"
        ) from error


def _parse(row):
    return {
        "device": row.get("device"),
        "network": row["network"],
        "accuracy_pct": float(row["accuracy_pct"]),
        "time_ms": float(row["time_ms"]),
        "gain": float(row["gain"]) if row["gain"] else None,
        "thresholds": tuple(float(value) for value in row["thresholds"].split()),
        "exit_pct": tuple(float(value) for value in row["exit_pct"].split()),
    }

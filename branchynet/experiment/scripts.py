"""What all scripts share: numbers and paths on a command line, --quiet, and the folder for the results."""

import argparse
import contextlib
import math
import pathlib

from branchynet import records
from branchynet.machine.files import locked


def add_quiet(parser) -> None:
    """Gives a command line `--quiet`, for `branchynet.machine.ending.exit_status`."""
    parser.add_argument("--quiet", help="no progress and no summary; errors are told", action="store_true")


@contextlib.contextmanager
def writing_into(folder, workers=None):
    """The folder of a run's results as a path: made if it is not there, and no other run's while the block runs.

    Args:
        folder: for the results.
        workers: `branchynet.machine.workers.Workers` that share the run, the first of which keeps others out; None for
            this process alone.

    Raises:
        OutputError: it cannot be written, or another run writes into it.
    """
    folder = records.prepare_output(folder)
    # One run at a time: else one could leave its record beside the other's weights, tables or figures.
    with locked(folder, "run") if workers is None or workers.is_first else contextlib.nullcontext():
        yield folder


def argument(kind, holds, expected):
    """An argparse type: what `kind` makes of a text, where a condition holds for that; `expected`: in words."""

    def parse(text):
        with contextlib.suppress(ValueError):
            value = kind(text)
            if holds(value):
                return value
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")

    parse.__doc__ = f"An argparse type: {expected}."
    return parse


def whole_number(lowest, highest=math.inf):
    """An argparse type: a whole number from `lowest` to `highest`."""
    upper = f" and <= {highest}" if highest < math.inf else ""
    return argument(int, lambda number: lowest <= number <= highest, f"a whole number >= {lowest}{upper}")


# A whole number that NumPy's generators take.
seed_number = whole_number(0, 2**32 - 1)
finite_number = argument(float, math.isfinite, "a finite number")
positive_number = argument(finite_number, lambda number: number > 0, "a number > 0")


def nonempty_path(text):
    """An argparse type: the path of a folder or file; an empty text, which would be the current folder, is none."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return pathlib.Path(text)


def existing_folder(text):
    """An argparse type: the path of a folder that is there."""
    path = nonempty_path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder that is there, got {text!r}")
    return path

"""What all scripts share: numbers on a command line, and how a script ends."""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback

from branchynet.errors import UserError
from branchynet.machine.workers import Workers

# An error that all workers meet is reported once, by the first, which then ends the others.
_FIRST_REPORTS_WITHIN_S = 2.0
# The launcher drops what it has not yet read of a worker's output when that worker ends all.
_OUTPUT_IS_READ_WITHIN_S = 0.3


def exit_status(script: str, run, stopped: str = "stopped", workers: Workers | None = None) -> int:
    """Runs a script's work; an error that the user can mend becomes one line, and ends all workers.

    Args:
        script: the script's name, for messages.
        run: function without arguments.
        stopped: what to say after Ctrl-C.
        workers: those that run it together; None for this process alone.

    Returns:
        the exit status: 0, or 2 after an error that the user can mend, 1 after another one in one of several workers,
        130 after Ctrl-C.
    """
    workers = workers or Workers()
    try:
        run()
    except KeyboardInterrupt:
        if workers.is_first:
            print(f"\n{script}: {stopped}", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, UserError):
            if not workers.is_first:
                time.sleep(_FIRST_REPORTS_WITHIN_S)
            print(f"{script}: error: {error}", file=sys.stderr, flush=True)
        elif workers.size == 1:
            raise
        else:
            traceback.print_exc()
        status = 2 if isinstance(error, UserError) else 1
        if workers.size > 1:
            time.sleep(_OUTPUT_IS_READ_WITHIN_S)
        workers.abort(status)  # the others may wait for this one for ever
        return status
    return 0


def whole_number(lowest):
    """An argparse type: a whole number that is at least `lowest`."""

    def parse(text):
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {lowest}, got {text!r}")
        return number

    return parse


def positive_number(text):
    """An argparse type: a finite number above 0."""
    number = finite_number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return number


def finite_number(text):
    """An argparse type: a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return number

"""What all scripts share: numbers on a command line, and how a script ends."""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import sys
import time
import traceback

from branchynet.errors import UserError
from branchynet.machine.workers import Workers

# An error that all workers meet is reported once, by the first, which then ends the others.
_FIRST_REPORTS_WITHIN_S = 2.0
# The launcher drops what it has not yet read of a worker's output when that worker ends all.
_OUTPUT_IS_READ_WITHIN_S = 0.3
_STATUS_OF_A_CLOSED_PIPE = 141


def exit_status(script: str, run, stopped: str = "stopped", workers: Workers | None = None) -> int:
    """Runs a script's work; an error that the user can mend becomes one line, and ends all workers.

    Args:
        script: the script's name, for messages.
        run: function without arguments.
        stopped: what to say after Ctrl-C.
        workers: those that run it together; None for this process alone.

    Returns:
        the exit status: 0, or 2 after an error that the user can mend, 1 after another one in one of several workers,
        130 after Ctrl-C, 141 (as of a shell's own commands) if nobody reads the output any more.
    """
    workers = workers or Workers()
    try:
        _print_whatever_the_terminal_can()
        run()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output, `head` for instance, has gone; what is still to be printed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        workers.abort(_STATUS_OF_A_CLOSED_PIPE)
        return _STATUS_OF_A_CLOSED_PIPE
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


def _print_whatever_the_terminal_can():
    """A character that the terminal's encoding lacks becomes a question mark, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def whole_number(lowest, highest=math.inf):
    """An argparse type: a whole number from `lowest` to `highest`."""

    def parse(text):
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not lowest <= number <= highest:
            upper = f" and <= {highest}" if highest < math.inf else ""
            raise argparse.ArgumentTypeError(f"expected a whole number >= {lowest}{upper}, got {text!r}")
        return number

    return parse


def seed_number(text):
    """An argparse type: a whole number that NumPy's generators take."""
    return whole_number(0, 2**32 - 1)(text)


def nonempty_path(text):
    """An argparse type: the path of a folder or file; an empty text, which would be the current folder, is none."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return pathlib.Path(text)


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

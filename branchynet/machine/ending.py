"""How a command ends: errors that a user can mend, Ctrl-C, and a reader that has gone."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import traceback

from branchynet.errors import UserError
from branchynet.machine import terminal
from branchynet.machine.devices import is_gpu
from branchynet.machine.workers import Workers, get_workers

# An error that all workers meet is reported once, by the first, which then ends the others.
_FIRST_REPORTS_WITHIN_S = 2.0
# The launcher drops what it has not yet read of a worker's output when that worker ends all.
_OUTPUT_IS_READ_WITHIN_S = 0.3
_STATUS_OF_A_CLOSED_PIPE = 141


def exit_status(script: str, run, stopped: str = "stopped", workers: Workers | None = None, quiet=False) -> int:
    """Runs a script's work; an error that the user can mend becomes one line, and ends all workers.

    Args:
        script: the script's name, for messages.
        run: function without arguments.
        stopped: what to say after Ctrl-C.
        workers: those that run it together, of which the first shows progress; None for this process alone.
        quiet: neither progress nor anything on stdout; errors are told.

    Returns:
        the exit status: 0, or 2 after an error that the user can mend, 1 after another one in one of several workers,
        130 after Ctrl-C, 141 (as of a shell's own commands) if nobody reads the output any more.
    """
    workers = workers or Workers()
    try:
        _print_whatever_can_be_printed()
        unheard = contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext()
        with terminal.silenced(quiet or not workers.is_first), unheard:
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


def exit_status_of_workers(script: str, run, stopped: str, quiet=False, device="cpu") -> int:
    """`exit_status` of work that the workers of this run share: `run(workers)`; device: the name of what they use."""
    found = []
    status = exit_status(script, lambda: found.append(get_workers(on_gpu=is_gpu(device))))
    return status or exit_status(script, lambda: run(found[0]), stopped, found[0], quiet)


def _print_whatever_can_be_printed():
    """What is printed to a stream that was closed from the start (`>&-`) goes nowhere; a character that the terminal's
    encoding lacks becomes a question mark. Neither is an error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Open, so that no file that is written later gets the number of the closed one.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (for as long as the process)
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")

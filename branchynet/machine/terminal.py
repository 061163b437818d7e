"""What a user sees of work under way: lines, and bars with the time that is left, on stderr.

Bars are drawn on a terminal only, so that a log holds lines. Who starts the work may silence both; errors are not
written here, and are never silenced.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import tqdm

_TICK_S = 1.0
_IN_TIME = "{l_bar}{bar}| [{elapsed}<{remaining}]"
_silent = False


@contextlib.contextmanager
def silenced(silent=True):
    """Neither lines nor bars while the block runs; nothing changes with `silent` False."""
    global _silent
    before = _silent
    _silent = before or silent
    try:
        yield
    finally:
        _silent = before


def say(line) -> None:
    """Writes a line; above a bar, where one is drawn."""
    if not _silent:
        tqdm.tqdm.write(line, file=sys.stderr)


def bar(text, total, unit, **options) -> tqdm.tqdm:
    """A bar with the time that is left: `update(n)` moves it, and it is removed when it is closed, or its block ends.

    Args:
        text: what is done.
        total: steps; None where that is not known, and then the bar tells how many were done.
        unit: of a step.
        options: more of tqdm's.
    """
    disable = True if _silent else None  # None: where stderr is no terminal
    return tqdm.tqdm(desc=text, total=total, unit=unit, file=sys.stderr, leave=False, disable=disable, **options)


def counted(text, items, unit):
    """The items, one after another, with a bar of how many were taken."""
    return bar(text, len(items), unit, iterable=items)


def elapsing(text, seconds):
    """A bar for work that is known to take so many seconds."""
    start = time.monotonic()
    return following(text, seconds, lambda: time.monotonic() - start, bar_format=_IN_TIME)


@contextlib.contextmanager
def following(text, total, read, unit="s", **options):
    """A bar for what cannot call it: it is moved once a second, in a thread of its own, to what `read()` gives.

    Where no bar is drawn there is no thread. On a terminal a tick takes 0.1 ms of a second from what is timed.
    """
    with bar(text, total, unit, **options) as drawn:
        if drawn.disable:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=_follow, args=(drawn, read, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _follow(drawn, read, ended):
    while not ended.wait(_TICK_S):
        drawn.n = read() if drawn.total is None else min(read(), drawn.total)
        drawn.refresh()


def stressing(stream):
    """A function line -> line in bold, where the stream is a terminal that is not told to do without (NO_COLOR)."""
    plain = not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return str if plain else "\033[1m{}\033[0m".format

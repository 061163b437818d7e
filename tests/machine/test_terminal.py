"""Lines and bars on stderr: bars with the time left, on a terminal only; neither where the work is silent."""

import io
import re
import sys
import threading
import time

import pytest

from branchynet.machine import terminal


class Screen(io.StringIO):
    """A terminal that remembers."""

    def isatty(self):
        return True


def look_at_stderr(monkeypatch):
    """stderr, from now on a terminal. Not as a fixture: pytest takes stderr back before the test."""
    monkeypatch.setattr(sys, "stderr", Screen())
    return sys.stderr


def work():
    """Everything that shows something."""
    with terminal.bar("bar", 3, "step", mininterval=0) as bar:
        bar.update()
        terminal.say("a line")
    assert list(terminal.counted("counted", "abc", "letter")) == ["a", "b", "c"]
    with terminal.elapsing("elapsing", 5):
        pass


def test_bars_tell_the_time_that_is_left_and_are_removed(monkeypatch):
    screen = look_at_stderr(monkeypatch)
    work()
    text = screen.getvalue()
    for name in ("bar", "counted", "elapsing"):
        assert f"{name}: " in text
    assert re.search(r"bar: +33%.* 1/3 \[\d\d:\d\d<\d\d:\d\d", text)
    assert text.rstrip(" ").endswith("\r"), "the last bar is wiped out"


def test_without_a_terminal_only_lines_are_written(capsys):
    work()
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "a line\n")


def test_silence_covers_lines_and_bars_and_ends_with_its_block(monkeypatch):
    screen = look_at_stderr(monkeypatch)
    with terminal.silenced():
        with terminal.silenced(False):
            work()
        assert screen.getvalue() == ""
    terminal.say("again")
    assert screen.getvalue() == "again\n"


@pytest.mark.parametrize("total", [10, None])
def test_a_bar_follows_what_is_read_as_long_as_its_block_runs(monkeypatch, total):
    screen = look_at_stderr(monkeypatch)
    monkeypatch.setattr(terminal, "_TICK_S", 0.01)
    n_read, enough = [], threading.Event()

    def read():
        n_read.append(7 * len(n_read))
        if len(n_read) > 4:
            enough.set()
        return n_read[-1]

    with terminal.following("following", total, read):
        assert enough.wait(60)
    n_at_the_end = len(n_read)
    time.sleep(0.05)
    assert len(n_read) == n_at_the_end
    assert ("7/10" in screen.getvalue()) == (total == 10) and ("10/10" in screen.getvalue()) == (total == 10)


def test_without_a_bar_nothing_is_read(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "_TICK_S", 0.001)
    n_read = []
    with terminal.following("following", 1, lambda: n_read.append(1) or 1):
        time.sleep(0.05)
    assert n_read == [] and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("stream", "environment", "stressed"),
    [
        (Screen(), {}, "\033[1mx\033[0m"),
        (Screen(), {"NO_COLOR": "1"}, "x"),
        (Screen(), {"TERM": "dumb"}, "x"),
        (io.StringIO(), {}, "x"),
    ],
)
def test_stress_is_for_terminals_that_take_it(stream, environment, stressed, monkeypatch):
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    assert terminal.stressing(stream)("x") == stressed

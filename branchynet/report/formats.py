"""Numbers, descriptions and tables as text, the same everywhere."""

from __future__ import annotations

import math
import statistics

NOT_MEASURED = "not measured"


def ms(value: float | None) -> str:
    """Milliseconds with three significant digits, never with an exponent."""
    if value is None:
        return NOT_MEASURED
    if value <= 0:
        return f"{value:g}"
    decimals = 0
    while decimals < 6 and float(f"{value:.{decimals}f}") < 10 ** (2 - decimals):
        decimals += 1
    return f"{value:.{decimals}f}"


def mean_of(latency: dict | None) -> float | None:
    """The mean of a latency summary, in ms, which is the paper's measure; None where nothing was measured."""
    return (latency or {}).get("mean")


def mean_ms(latency: dict | None) -> str:
    """The mean of a latency summary as text."""
    return ms(mean_of(latency))


def accuracy(value_pct: float | None) -> str:
    """An accuracy in % with two decimals: 0.01 is one of the 10,000 test samples."""
    return NOT_MEASURED if value_pct is None else f"{value_pct:.2f}"


def mean_and_interval(values, decimals: int = 2, unit: str = "") -> str:
    """The mean of several values; of more than one, with half the width of its 95 % interval by Student's t."""
    mean = f"{statistics.mean(values):.{decimals}f}{unit}"
    if len(values) < 2:
        return mean
    from scipy import stats  # takes a while to load

    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean} ± {stats.t.ppf(0.975, len(values) - 1) * error:.{decimals}f}"


def gain(value: float | dict | None) -> str:
    """How many times faster; with its interval where there is one, as a run's `measured` holds it."""
    if not value:
        return NOT_MEASURED
    if not isinstance(value, dict):
        return f"{value:.2f}x"
    return f"{value['value']:.2f}x ({value['low']:.2f}\N{EN DASH}{value['high']:.2f})"


def thresholds(values) -> str:
    """T of each early exit, in nats."""
    return ", ".join(f"{value:g}" for value in values)


def exit_shares(values_pct, decimals: int | None = None) -> str:
    """Shares of the samples leaving at each exit, in %; with the digits that are there unless decimals are given."""
    return ", ".join(f"{value:g}" if decimals is None else f"{value:.{decimals}f}" for value in values_pct)


def variant(run: dict) -> str:
    """Which of several networks of that name, in brackets, with a space before; nothing where there is only one."""
    return f" ({run['variant']})" if run.get("variant") else ""


def tuned_on_test(run: dict) -> str:
    """What was settled with a look at test figures, with a comma before; nothing where nothing was."""
    names = " and ".join(run.get("tuned_on_test") or ())
    return f", {names} tuned on test" if names else ""


def machine(run: dict) -> str:
    """The processor that computed, and the threads, as one phrase."""
    environment = run["environment"]
    threads = environment.get("threads")
    words = [environment.get("device") or environment.get("cpu") or "a processor not recorded"]
    gpu = environment.get("gpu")
    if gpu:
        driver = f"driver {gpu['driver']}, " if gpu["driver"] else ""
        words += [f"{driver}CUDA {gpu['cuda']}", f"host {environment['cpu']}"]
    if threads:
        words.append(f"{threads} thread{'' if threads == 1 else 's'}")
    return ", ".join(words)


def commit(environment: dict) -> str:
    """The commit, shortened, and whether files differed from it."""
    if not environment.get("commit"):
        return "no commit"
    return f"commit {environment['commit'][:12]}" + (", with changes" if environment.get("dirty") else "")


def versions(environment: dict) -> str:
    """The versions that the record holds, as one phrase."""
    words = [f"Python {environment['python']}"] if environment.get("python") else []
    words += [f"{name} {version}" for name, version in (environment.get("versions") or {}).items()]
    return ", ".join([*words, *(environment.get("blas") or [])])


def markdown_table(headings, rows) -> str:
    """A Markdown table of text cells, with the columns in line in the source as well."""
    lines = [list(headings), *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)

"""What a user may ask of the thresholds, as text and as objects; a goal of one's own is one function.

    @register_goal("most-accurate", example="most-accurate")
    def most_accurate(problem):
        settings = problem.settings
        return Found(settings.thresholds[settings.accuracies.argmax()], "the most accurate setting")

is then `choose_thresholds(records, costs, "most-accurate")`, and `--choose most-accurate` on the command line.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing

import numpy as np

from branchynet.choosers.candidates import candidate_thresholds
from branchynet.choosers.settings import Settings, evaluate_settings
from branchynet.errors import ThresholdError

_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?"
# Endings of the names of a form's numbers, and the highest value such a number may have.
_HIGHEST = {"_pct": 100.0, "share": 1.0}

_REGISTRY: list = []


@dataclasses.dataclass(frozen=True)
class ExitCosts:
    """What a sample costs that leaves at each exit, everything up to there included.

    Attributes:
        values: (n_exits,) means.
        unit: "ms" or "multiply-adds".
    """

    values: np.ndarray
    unit: str = "ms"


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a goal's function is given.

    Attributes:
        records: `branchynet.thresholds.ExitRecords` of the validation samples, at least one.
        costs: `ExitCosts`.
        seed: of the halving of the validation samples, for goals that need two parts of them.
        grid: (K, n_exits - 1) settings to choose from; None for those at the recorded scores.
    """

    records: typing.Any
    costs: ExitCosts
    seed: int = 0
    grid: np.ndarray | None = None

    @functools.cached_property
    def settings(self) -> Settings:
        """The candidates, evaluated on all validation samples."""
        return evaluate_settings(self.records, candidate_thresholds(self.records) if self.grid is None else self.grid)

    @functools.cached_property
    def expected_costs(self) -> np.ndarray:
        """(K,) of the candidates, in the unit of the costs."""
        return self.settings.expected_costs(self.costs)


class Found(typing.NamedTuple):
    """What a goal's function returns.

    Attributes:
        thresholds: (n_exits - 1,).
        rule: how they were chosen, in words.
        details: more about them, JSON-able: a p-value, for instance.
    """

    thresholds: typing.Any
    rule: str
    details: dict = {}


@dataclasses.dataclass(frozen=True)
class _Entry:
    function: typing.Callable
    pattern: re.Pattern
    example: str
    unit: str | None


@dataclasses.dataclass(frozen=True)
class Goal:
    """A goal with its numbers, as `parse_goal` makes it.

    Attributes:
        text: as the user wrote it, without spaces.
        function: (problem, **numbers) -> `Found`.
        numbers: {name: float, or tuple of floats for a list}.
        unit: the unit that costs must have, or None for any.
    """

    text: str
    function: typing.Callable
    numbers: dict
    unit: str | None = None

    def check(self, n_exits: int) -> None:
        """Raises ThresholdError if a list of numbers has not one for each of the early exits."""
        for numbers in self.numbers.values():
            if isinstance(numbers, tuple) and len(numbers) != n_exits - 1:
                raise ThresholdError(
                    f"{self.text}: expected {n_exits - 1} numbers, one for each early exit, got {len(numbers)}"
                )


def register_goal(form: str, example: str, unit: str | None = None):
    """Makes a function (problem, **numbers) -> `Found` a goal; a decorator.

    Where nothing serves the goal, the function raises ThresholdError with what can be had. Of several goals that a text
    fits, the one registered last is taken.

    Args:
        form: the text of the goal, with numbers in braces: ``"latency<={budget}ms"``. Each becomes an argument of the
            function, a float; ``{percents...}`` is a list with commas between, one number for each early exit, and
            becomes a tuple. Numbers are >= 0; those whose names end in "_pct" or "share" are at most 100 or 1.
        example: for the message that lists the goals.
        unit: the unit that costs must have for this goal; None for any.
    """
    parts = re.split(r"\{(\w+)(\.\.\.)?\}", form.replace(" ", ""))
    pattern = re.escape(parts[0])
    for name, is_list, literal in zip(parts[1::3], parts[2::3], parts[3::3]):
        number = rf"(?:{_NUMBER})(?:,(?:{_NUMBER}))*" if is_list else _NUMBER
        pattern += rf"(?P<{name}{'_list' if is_list else ''}>{number}){re.escape(literal)}"

    def register(function):
        _REGISTRY.append(_Entry(function, re.compile(pattern), example, unit))
        return function

    return register


def parse_goal(text: str) -> Goal:
    """A goal from text such as "accuracy>=last-0.3%"; spaces do not count.

    Raises:
        ThresholdError: no goal is written so; the message lists all of them, with an example of each.
    """
    text = "".join(str(text).split())
    for entry in reversed(_REGISTRY):
        match = entry.pattern.fullmatch(text)
        if match:
            numbers = dict(_parse_number(text, *item) for item in match.groupdict().items())
            return Goal(text, entry.function, numbers, entry.unit)
    examples = ", ".join(dict.fromkeys(entry.example for entry in _REGISTRY))
    raise ThresholdError(f"goal: expected one such as {examples}; got {text!r}")


def _parse_number(text, name, value):
    """(name, float or tuple of floats) of one group of a goal's pattern."""
    is_list = name.endswith("_list")
    name = name[: -len("_list")] if is_list else name
    numbers = tuple(float(word) for word in value.split(","))
    highest = next((number for ending, number in _HIGHEST.items() if name.endswith(ending)), float("inf"))
    for number in numbers:
        if not number <= highest or number == float("inf"):
            raise ThresholdError(f"{text}: expected a number from 0 to {highest:g}, got {number:g}")
    return name, numbers if is_list else numbers[0]

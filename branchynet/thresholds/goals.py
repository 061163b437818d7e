"""What a user may ask of the thresholds, as text and as objects. A goal of one's own is one function::

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

from branchynet.errors import ThresholdError
from branchynet.gate import shown
from branchynet.registry import Registry
from branchynet.thresholds.candidates import candidate_thresholds
from branchynet.thresholds.records import ExitRecords, Outcomes

_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?"
# Endings of the names of a form's numbers, and the highest value of such a number.
_HIGHEST = {"_pct": 100.0, "share": 1.0, "": float("inf")}
# Sums of products are rounded: numbers that differ by less than this, relative to 1 or to themselves, count as equal.
ROUNDING = 1e-9

# {form: (pattern, example, function that makes the `Goal` of a text and its numbers)}
GOALS = Registry("goal", ThresholdError)


@dataclasses.dataclass(frozen=True)
class ExitCosts:
    """What a sample costs that leaves at each exit, everything up to there included.

    Raises:
        ThresholdError: a cost is negative or not finite.
    """

    values: np.ndarray  # (n_exits,) float64, means
    unit: str = "ms"  # or "multiply-adds"

    def __post_init__(self):
        try:
            values = np.array(self.values, dtype=np.float64)  # a copy: the caller may change what was given
        except (TypeError, ValueError, OverflowError):
            values = np.array(np.nan)
        is_list = values.ndim == 1 and not isinstance(self.values, np.ma.MaskedArray)
        if not is_list or not (np.isfinite(values) & (values >= 0)).all():
            raise ThresholdError(f"costs: expected a number >= 0 for each exit, got {shown(self.values)}")
        if not isinstance(self.unit, str):
            raise ThresholdError(f"costs: expected a unit as text, got {shown(self.unit)}")
        object.__setattr__(self, "values", values)


@dataclasses.dataclass(frozen=True)
class Problem:
    """What the function of a goal is given."""

    records: ExitRecords  # of the validation samples, at least one
    costs: ExitCosts
    seed: int = 0  # of the halving of the validation samples, for goals that need two parts of them
    grid: np.ndarray | None = None  # (K, n_exits - 1) settings to choose from; None for those at the recorded scores

    @functools.cached_property
    def settings(self) -> Outcomes:
        """The candidates, evaluated on all validation samples."""
        return self.records.evaluate(candidate_thresholds(self.records) if self.grid is None else self.grid)

    @functools.cached_property
    def expected_costs(self) -> np.ndarray:
        """(K,) mean cost of a sample at each candidate, in the unit of the costs."""
        return self.settings.expected_costs(self.costs)


class Found(typing.NamedTuple):
    """What the function of a goal returns."""

    thresholds: typing.Any  # (n_exits - 1,) floats
    rule: str  # how they were chosen, in words
    details: dict = {}  # more about them, JSON-able: a p-value, for instance
    index: int | None = None  # of the setting among `Problem.settings`, if it is one of them


@dataclasses.dataclass(frozen=True)
class Goal:
    """A goal with its numbers, as `parse_goal` makes it."""

    text: str  # as the user wrote it, without spaces
    numbers: dict  # {name: float, or tuple of floats for a list}
    function: typing.Callable  # (`Problem`, **numbers) -> `Found`
    unit: str | None = None  # that the costs must have; None for any
    promise: typing.Callable | None = None  # as of `register_goal`; None for a goal that promises nothing

    def check(self, n_exits: int) -> None:
        """Raises ThresholdError if a list of numbers has not one for each of the early exits."""
        for numbers in self.numbers.values():
            if isinstance(numbers, tuple) and len(numbers) != n_exits - 1:
                expected = f"expected {n_exits - 1} numbers, one for each early exit"
                raise ThresholdError(f"{self.text}: {expected}, got {len(numbers)}")

    def promise_on(self, test, costs, thresholds, n_validation):
        """The goal's promise, compared with what other samples give: what `promise` returns.

        None where nothing is promised, or where the promise is about samples that leave early and none does.

        Args:
            test: `ExitRecords` of these samples.
            costs: `ExitCosts` in the goal's unit.
            thresholds: (n_exits - 1,) floats, chosen for the goal.
            n_validation: number of samples that they were chosen on.
        """
        return None if self.promise is None else self.promise(test, costs, thresholds, n_validation, **self.numbers)


def promise(quantity: str, relation: str, limit: float, value: float) -> dict:
    """A promise, compared with what came of it, JSON-able: {quantity, relation, limit, value, met}.

    Args:
        quantity: in words, with its unit.
        relation: "<=" or ">=".
        limit: what was promised.
        value: what came.
    """
    excess = value - limit if relation == "<=" else limit - value
    met = bool(excess <= ROUNDING * max(1.0, abs(limit)))
    return {"quantity": quantity, "relation": relation, "limit": limit, "value": value, "met": met}


def keeps_budget(test, costs, thresholds, n_validation, budget) -> dict:
    """The promise of a budget: the mean cost of a sample is within it."""
    return promise(f"mean {costs.unit}", "<=", budget, test.evaluate([thresholds]).rows(costs)[0]["cost"])


def register_goal(form: str, example: str, unit: str | None = None, promise=None, replace: bool = False):
    """A decorator that makes a function (`Problem`, **numbers) -> `Found` a goal.

    Where nothing serves the goal, the function raises ThresholdError and says what can be had. If several goals fit a
    text, the one registered last is taken.

    Args:
        form: the text of the goal, with numbers in braces: ``"latency<={budget}ms"``. Each becomes an argument of the
            function, a float >= 0, at most 100 if its name ends in "_pct", at most 1 if it ends in "share".
            ``{percents_pct...}`` is a list with commas, one number for each early exit, and becomes a tuple.
        example: for the message that lists the goals.
        unit: the unit that costs must have; None for any.
        promise: what the goal promises on other samples: (`ExitRecords` of them, costs, thresholds, n_validation,
            **numbers) -> what `promise` returns; None for a goal that promises nothing.
        replace: this goal takes the place of one of the same form.

    Raises:
        ThresholdError: the form is registered already, and `replace` is not given.
    """
    form = form.replace(" ", "")
    start, *parts = re.split(r"\{(\w+)(\.\.\.)?\}", form)
    pattern = re.escape(start)
    for name, is_list, literal in zip(parts[::3], parts[1::3], parts[2::3]):
        number = rf"(?:{_NUMBER})(?:,(?:{_NUMBER}))*" if is_list else _NUMBER
        pattern += rf"(?P<{name}{'_list' if is_list else ''}>{number}){re.escape(literal)}"

    def register(function):
        make = functools.partial(Goal, function=function, unit=unit, promise=promise)
        GOALS.add(form, (re.compile(pattern), example, make), replace)
        return function

    return register


def parse_goal(text: str) -> Goal:
    """A goal from text such as "accuracy>=last-0.3%". Spaces do not count.

    Raises:
        ThresholdError: no goal is written so, and the message gives an example of each; or a number is too large.
    """
    given, text = text, "".join(text.split()) if isinstance(text, str) else ""
    entries = [GOALS.get(form) for form in GOALS.names()]
    for pattern, _, make in reversed(entries):
        match = pattern.fullmatch(text)
        if match:
            return make(text, dict(_parse_numbers(text, *item) for item in match.groupdict().items()))
    examples = ", ".join(dict.fromkeys(example for _, example, _ in entries))
    raise ThresholdError(f"goal: expected one such as {examples}; got {shown(given)}")


def _parse_numbers(text, name, words):
    """(name, float or tuple of floats) of one group of a goal's pattern."""
    numbers, is_list = tuple(map(float, words.split(","))), name.endswith("_list")
    name = name[: -len("_list")] if is_list else name
    highest = next(limit for ending, limit in _HIGHEST.items() if name.endswith(ending))
    for number in numbers:
        if number > highest or number == float("inf"):
            raise ThresholdError(f"{text}: expected a number from 0 to {highest:g}, got {number:g}")
    return name, numbers if is_list else numbers[0]

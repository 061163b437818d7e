"""Thresholds that find themselves: from records of the validation samples, costs and a goal to T."""

from __future__ import annotations

import dataclasses

import numpy as np

from branchynet.errors import ThresholdError
from branchynet.gate import whole_number
from branchynet.thresholds.goals import ExitCosts, Goal, Problem, parse_goal
from branchynet.thresholds.records import ExitRecords


@dataclasses.dataclass(frozen=True)
class Choice:
    """Chosen thresholds, and what they give on the validation samples."""

    thresholds: tuple  # one T for each early exit
    accuracy: float  # in [0, 1]
    exit_shares: tuple  # share of the samples that leaves at each exit
    expected_cost: float  # mean cost of a sample, in `unit`
    unit: str  # "ms" or "multiply-adds"
    goal: str  # as text
    rule: str  # how the thresholds were chosen, in words
    details: dict  # JSON-able; what the goal has to say besides, such as a p-value or a bound of the risk
    index: int | None = None  # of the setting in the grid that it was chosen from; None where there was no grid


def choose_thresholds(records, costs: ExitCosts, goal, test_split_seed: int = 0, grid=None) -> Choice:
    """Chooses the thresholds that serve a goal, on validation samples. Never give it test samples.

    Args:
        records: `ExitRecords` of the validation samples.
        costs: `ExitCosts` of as many exits.
        goal: text as of `parse_goal`, or a `Goal`.
        test_split_seed: seed of the halving of the validation samples, for a goal that finds candidates on one half and
            tests them on the other (Pareto testing).
        grid: (K, n_exits - 1) settings of T, for the goals that choose from candidates; by default those at the
            recorded scores.

    Raises:
        ThresholdError: nothing serves the goal, and the message says what can be had; the goal cannot be read, or does
            not fit the exits or the unit of the costs; or the records hold no sample or a score that is not finite.
    """
    if not isinstance(records, ExitRecords) or not isinstance(costs, ExitCosts):
        found = f"{type(records).__name__} and {type(costs).__name__}"
        raise ThresholdError(f"choose: expected ExitRecords and ExitCosts, got {found}")
    goal = goal if isinstance(goal, Goal) else parse_goal(goal)
    test_split_seed = whole_number("test_split_seed", test_split_seed, ThresholdError, 0)
    _check(records, costs, goal, grid)
    try:
        found = goal.function(Problem(records, costs, test_split_seed, grid), **goal.numbers)
    except ThresholdError as error:
        raise ThresholdError(f"{goal.text}: {error}") from None
    outcome = records.evaluate([found.thresholds])
    return Choice(
        tuple(float(value) for value in found.thresholds),
        float(outcome.accuracies[0]),
        tuple(outcome.exit_shares[0].tolist()),
        float(outcome.expected_costs(costs)[0]),
        costs.unit,
        goal.text,
        found.rule,
        dict(found.details),
        None if grid is None else found.index,
    )


def _check(records, costs, goal, grid):
    goal.check(records.n_exits)
    if goal.unit not in (None, costs.unit):
        raise ThresholdError(f"{goal.text}: expected costs in {goal.unit}, got {costs.unit}")
    if len(costs.values) != records.n_exits:
        raise ThresholdError(f"choose: expected {records.n_exits} costs, one for each exit, got {len(costs.values)}")
    if len(records.labels) == 0:
        raise ThresholdError("choose: expected at least one validation sample, got none")
    if grid is not None and not _has_rows(grid):
        raise ThresholdError("choose: expected a grid of at least one setting of T, got none")
    if not np.isfinite(records.scores[:-1]).all():
        raise ThresholdError("choose: expected finite scores at the early exits, got NaN or infinity")


def _has_rows(grid):
    try:
        return len(grid) > 0
    except TypeError:  # a number, or an array without axes
        return False

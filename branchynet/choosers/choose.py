"""Thresholds that find themselves: from records of the validation samples, costs and a goal to T."""

from __future__ import annotations

import dataclasses

import numpy as np

from branchynet.choosers.candidates import get_scores
from branchynet.choosers.goals import ExitCosts, Goal, Problem, parse_goal
from branchynet.choosers.settings import evaluate_settings
from branchynet.errors import ThresholdError


@dataclasses.dataclass(frozen=True)
class Choice:
    """Chosen thresholds, and what they give on the validation samples.

    Attributes:
        thresholds: one T for each early exit.
        accuracy: on the validation samples, in [0, 1].
        exit_shares: share of the validation samples that leaves at each exit.
        expected_cost: mean cost of a validation sample, in `unit`.
        unit: "ms" or "multiply-adds".
        goal: the goal as text.
        rule: how the thresholds were chosen, in words.
        details: JSON-able; what the goal has to say besides, such as a p-value or a bound of the risk.
    """

    thresholds: tuple
    accuracy: float
    exit_shares: tuple
    expected_cost: float
    unit: str
    goal: str
    rule: str
    details: dict


def choose_thresholds(records, costs: ExitCosts, goal, test_split_seed: int = 0, grid=None) -> Choice:
    """Chooses the thresholds that serve a goal, on validation samples; never give it test samples.

    Args:
        records: `branchynet.thresholds.ExitRecords` of the validation samples.
        costs: `ExitCosts`: what a sample costs that leaves at each exit.
        goal: text as of `parse_goal`, or a `Goal`.
        test_split_seed: where a goal needs candidates from one half of the validation samples and tests them on the
            other (Pareto testing), the seed of the halving.
        grid: settings of T to choose from, (K, n_exits - 1), for the goals that choose from candidates; by default
            those at the recorded scores.

    Raises:
        ThresholdError: nothing serves the goal, and the message says what can be had; or the goal cannot be read, has
            not one number for each early exit or is in another unit than the costs; or there is no sample, or there is
            a score that is not finite, or there are not as many costs as exits.
    """
    goal = goal if isinstance(goal, Goal) else parse_goal(goal)
    costs = ExitCosts(np.asarray(costs.values, dtype=np.float64), costs.unit)
    _check(records, costs, goal)
    try:
        found = goal.function(Problem(records, costs, test_split_seed, grid), **goal.numbers)
    except ThresholdError as error:
        raise ThresholdError(f"{goal.text}: {error}") from None
    result = evaluate_settings(records, [found.thresholds])
    return Choice(
        tuple(float(value) for value in found.thresholds),
        float(result.accuracies[0]),
        tuple(result.exit_shares[0].tolist()),
        float(result.expected_costs(costs)[0]),
        costs.unit,
        goal.text,
        found.rule,
        dict(found.details),
    )


def _check(records, costs, goal):
    goal.check(records.n_exits)
    if goal.unit not in (None, costs.unit):
        raise ThresholdError(f"{goal.text}: expected costs in {goal.unit}, got {costs.unit}")
    if len(records.labels) == 0:
        raise ThresholdError("choose: expected at least one validation sample, got none")
    if not np.isfinite(get_scores(records)[:-1]).all():
        raise ThresholdError("choose: expected finite scores at the early exits, got NaN or infinity")
    if costs.values.shape != (records.n_exits,) or not (np.isfinite(costs.values) & (costs.values >= 0)).all():
        raise ThresholdError(f"choose: expected {records.n_exits} costs >= 0, one for each exit, got {costs.values}")

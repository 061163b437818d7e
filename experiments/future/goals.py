"""Goals for T: what each chooses on validation samples, and whether it keeps its promise on test samples."""

from branchynet.errors import ThresholdError
from branchynet.thresholds import parse_goal
from future.study import REFERENCE_MEASURE


def compare_goals(study, goals) -> list:
    """Chooses T of entropy for each goal on the validation samples, and says what the test samples give.

    Args:
        study: `Study`.
        goals: texts as of `branchynet.thresholds.parse_goal`.

    Returns:
        for each goal {goal, thresholds, validation, test: outcomes in ms, promise: of `Goal.promise_on`}, or {goal,
        problem: why it cannot be had}.
    """
    return [_row(study, goal) for goal in map(parse_goal, goals)]


def _row(study, goal):
    name = REFERENCE_MEASURE
    try:
        thresholds = list(study.choose(name, goal).thresholds)
    except ThresholdError as error:
        return {"goal": goal.text, "problem": str(error)}
    test, n_validation = study.test_records[name], len(study.validation.labels)
    return {
        "goal": goal.text,
        "thresholds": thresholds,
        "validation": study.on_validation(name, thresholds),
        "test": study.on_test(name, thresholds),
        "promise": goal.promise_on(test, study.goal_costs(name, goal), thresholds, n_validation),
    }

"""Settings of T that a reader asks for beside the chosen one, each timed for real, and held against the plain network.

The plain network is the one trained as long as the branchy one, so that what differs is the branches, and it answers
the same images, so that the comparison is paired.
"""

import math

import numpy as np

from branchynet.errors import ThresholdError
from branchynet.thresholds import choose_thresholds, parse_goal, thresholds_for_shares


def against_plain(right, plain_right) -> dict:
    """Accuracy less that of the plain network on the same samples.

    Args:
        right, plain_right: (N,) bool, which samples each of the two has right.

    Returns:
        JSON-able: difference_pct, with its 95 % interval low, high (normal, of paired differences); p, of McNemar's
        exact two-sided test (Psychometrika 12, 1947).
    """
    from scipy import stats  # takes a while to load

    n, gained, lost = len(right), int((right & ~plain_right).sum()), int((~right & plain_right).sum())
    difference = (gained - lost) / n
    half_width = 1.96 * math.sqrt(max((gained + lost) / n - difference**2, 0) / n)
    p = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return {
        "difference_pct": 100 * difference,
        "low": 100 * (difference - half_width),
        "high": 100 * (difference + half_width),
        "p": float(p),
    }


def settings_asked_for(validation, plain_right, costs, paper) -> dict:
    """T by what it is asked for; all follow from validation samples and the paper alone.

    Args:
        validation: `ExitRecords` of the branchy network.
        plain_right: (N,) bool, which validation samples the plain network has right.
        costs: `ExitCosts`.
        paper: the paper's row of this network, as of `branchynet.records.load_published`; None if there is none.

    Returns:
        {name: thresholds, or None where no T does it}
    """
    accuracy_pct = 100 * float(plain_right.mean())
    try:
        goal = parse_goal(f"accuracy>={accuracy_pct:.10g}%")
        found = {"equal accuracy": tuple(choose_thresholds(validation, costs, goal).thresholds)}
    except ThresholdError:
        found = {"equal accuracy": None}
    if paper is not None:
        shares = np.array(paper["exit_pct"][:-1]) / 100
        found["paper's T"] = tuple(paper["thresholds"])
        found["paper's exit shares"] = thresholds_for_shares(validation, shares)
    return found


def described(test, plain_right, thresholds, timed) -> dict:
    """One setting of T: what it answers, compared with the plain network, and how fast.

    Args:
        test: `ExitRecords` of the test samples.
        plain_right: (N,) bool, which of them the equally trained plain network has right.
        thresholds: one for each early exit.
        timed: what `PathCosts.summary` gives of it.

    Returns:
        JSON-able: thresholds, accuracy_pct, exit_pct, against_plain, and what is in `timed`.
    """
    outcome = test.evaluate([thresholds])
    return {
        "thresholds": list(thresholds),
        "accuracy_pct": 100 * float(outcome.accuracies[0]),
        "exit_pct": (100 * outcome.exit_shares[0]).tolist(),
        "against_plain": against_plain(test.right_at(thresholds), plain_right),
        **timed,
    }

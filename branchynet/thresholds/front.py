"""The front of accuracy against cost, and its knee."""

import math

from branchynet.errors import ThresholdError

KNEE_RULE = (
    "the fastest setting whose accuracy is within one standard error of the most accurate one "
    "(one-standard-error rule, Breiman et al. 1984)"
)


def front(costs, accuracies) -> list:
    """Indices of the points that no other point beats, cheapest first.

    A point is beaten by one that is as cheap and more accurate, or as accurate and cheaper. Of equal points the first
    stands for all.

    Args:
        costs, accuracies: sequences with one number for each point.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -accuracies[i], i))
    indices, best = [], -math.inf
    for index in order:
        if accuracies[index] > best:
            indices.append(index)
            best = accuracies[index]
    return indices


def knee(costs, accuracies, n_samples: int) -> int:
    """Index of the knee point of accuracy against cost, by `KNEE_RULE`.

    A difference within the standard error of the accuracy, ``sqrt(a (1 - a) / n)``, says little about other samples.
    So accuracy is given up for speed down to there, and no further.

    Args:
        costs: mean cost of each setting, in milliseconds or multiply-adds.
        accuracies: accuracy of each setting, in [0, 1].
        n_samples: number of samples that the accuracies were counted on.

    Raises:
        ThresholdError: there is no setting to choose from.
    """
    if len(costs) == 0:
        raise ThresholdError("knee: expected at least one setting of T, got none")
    highest = max(accuracies)
    lowest_accepted = highest - math.sqrt(highest * (1 - highest) / n_samples)
    return next(index for index in front(costs, accuracies) if accuracies[index] >= lowest_accepted)

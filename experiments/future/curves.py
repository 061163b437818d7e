"""Reading two curves of accuracy against cost at the same height.

A point between two settings of a curve is a mixture of them: of so many samples in a hundred one setting decides, of
the others its neighbour, by chance. What is read is thus something that can be had, and is given as the weights of the
settings: ``weights @ accuracies`` is the accuracy there, ``weights @ costs`` the cost.
"""

import numpy as np


def mix_at_cost(costs, cost):
    """The mixture of neighbouring settings that costs so much.

    Args:
        costs: (K,) mean cost of each setting, K >= 1, in any order.
        cost: in the same unit.

    Returns:
        (K,) float64 >= 0 with sum 1, of which one or two are not 0; the most expensive setting where none costs as
        much; None where all cost more.
    """
    costs = np.asarray(costs, np.float64)
    if cost < costs.min():
        return None
    order = np.argsort(costs, kind="stable")
    position = np.interp(cost, costs[order], np.arange(len(costs)))
    return _mixture(order, position)


def mix_at_accuracy(costs, accuracies, accuracy):
    """The mixture at which the curve, followed from its cheapest setting on, first has so high an accuracy.

    Args:
        costs, accuracies: (K,) of each setting, K >= 1, in any order.
        accuracy: in the unit of the accuracies.

    Returns:
        (K,) float64 >= 0 with sum 1, as of `mix_at_cost`; None where no setting is as accurate.
    """
    order = np.lexsort((-np.asarray(accuracies), costs))
    ordered = np.asarray(accuracies, np.float64)[order]
    reached = np.flatnonzero(ordered >= accuracy)
    if len(reached) == 0:
        return None
    first = int(reached[0])
    if first == 0:
        return _mixture(order, 0.0)
    below, above = ordered[first - 1], ordered[first]
    return _mixture(order, first - 1 + (accuracy - below) / (above - below))


def _mixture(order, position):
    """Weights of the settings on either side of a position in their order."""
    weights = np.zeros(len(order))
    before = int(position)
    weights[order[before]] = before + 1 - position
    if position > before:
        weights[order[before + 1]] = position - before
    return weights

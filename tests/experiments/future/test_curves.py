"""Curves of accuracy against cost, read between their settings."""

import numpy as np
import pytest
from future import mix_at_accuracy, mix_at_cost


def test_between_two_settings_a_mixture_of_both_costs_what_was_asked_for(rng):
    costs, accuracies = rng.random(9), rng.random(9)
    order = np.argsort(costs)
    for cost in rng.uniform(costs.min(), costs.max(), 20):
        weights = mix_at_cost(costs, cost)
        assert weights @ costs == pytest.approx(cost) and weights.sum() == pytest.approx(1)
        assert weights @ accuracies == pytest.approx(np.interp(cost, costs[order], accuracies[order]))


def test_the_ends_of_a_curve():
    assert mix_at_cost([2, 1, 3], 0.9) is None, "nothing is so cheap"
    assert mix_at_cost([2, 1, 3], 1).tolist() == [0, 1, 0]
    assert mix_at_cost([2, 1, 3], 9).tolist() == [0, 0, 1], "the most expensive setting is within the budget"
    assert mix_at_cost([2], 2).tolist() == mix_at_accuracy([2], [0.5], 0.5).tolist() == [1]
    assert mix_at_accuracy([1, 2], [0.5, 0.7], 0.8) is None, "nothing is so accurate"


def test_the_first_place_of_a_curve_with_an_accuracy_counts():
    costs, accuracies = [1, 2, 3, 4], [0.5, 0.7, 0.6, 0.9]
    assert mix_at_accuracy(costs, accuracies, 0.65) @ costs == pytest.approx(1.75)
    assert mix_at_accuracy(costs, accuracies, 0.75) @ costs == pytest.approx(3.5)
    assert mix_at_accuracy(costs, accuracies, 0.4) @ costs == 1, "the cheapest is more accurate than asked for"
    assert mix_at_accuracy([1, 1], [0.2, 0.8], 0.5).tolist() == [0, 1], "of equally cheap ones the more accurate"

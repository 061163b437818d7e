"""Goals with a guarantee: against naive references, and simulated on a population whose risk is known."""

import math

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, naive_exits

from branchynet.choosers import choose_thresholds, evaluate_settings, parse_goal
from branchynet.choosers.candidates import candidate_thresholds, get_scores
from branchynet.choosers.risk import binomial_p_values, fixed_sequence, spoilt_above, take
from branchynet.thresholds import ExitRecords, evaluate


def naive_binomial_p_value(k, n, epsilon):
    return sum(math.comb(n, i) * epsilon**i * (1 - epsilon) ** (n - i) for i in range(k + 1))


def test_the_p_value_is_the_lower_tail_of_the_binomial_distribution():
    found = binomial_p_values([0, 3, 20], 20, 0.1)
    np.testing.assert_allclose(found, [naive_binomial_p_value(k, 20, 0.1) for k in (0, 3, 20)])


def naive_spoilt(records, threshold):
    """Samples that are wrong at the exit they leave at, and right at the last, with one T for all early exits."""
    spoilt = np.zeros(len(records.labels), dtype=bool)
    for sample, exit_index in enumerate(naive_exits(records, (threshold,) * (records.n_exits - 1))):
        early, last = records.predictions[exit_index, sample], records.predictions[-1, sample]
        spoilt[sample] = early != records.labels[sample] and last == records.labels[sample]
    return spoilt


@pytest.mark.parametrize("goal", ["risk<=10%@80%", "risk<=30%@95%", "risk<=0%@95%", "risk<=100%@99%", "risk<=9%@100%"])
def test_learn_then_test_goes_from_the_safest_threshold_until_one_fails(rng, goal):
    records = make_records(rng, 60)
    numbers = parse_goal(goal).numbers
    epsilon, delta = numbers["epsilon_pct"] / 100, 1 - numbers["confidence_pct"] / 100
    n_leaving, p_value = 0, None
    for n_tried in range(1, 61):
        threshold = np.append(np.sort(get_scores(records)[0]), 9)[n_tried]
        tried = naive_binomial_p_value(int(naive_spoilt(records, threshold).sum()), 60, epsilon)
        if tried > delta + 1e-12 or delta == 0:
            break
        n_leaving, p_value = n_tried, tried
    choice = choose_thresholds(records, costs_of(records), goal)
    assert round(60 * choice.exit_shares[0]) == n_leaving
    assert choice.details["p_value"] == (None if n_leaving == 0 else pytest.approx(p_value))
    assert choice.details["risk_bound"] <= epsilon + 1e-9


def test_what_comes_after_a_failed_test_does_not_pass():
    assert fixed_sequence(np.array([0.01, 0.05, 0.2, 0.01]), 0.05).tolist() == [True, True, False, False]
    assert not fixed_sequence(np.zeros(3), 0.0).any(), "nothing is certain"
    assert fixed_sequence(np.zeros(0), 0.05).shape == (0,)


def test_pareto_testing_believes_only_the_half_that_the_front_is_not_of(rng):
    records = make_records(rng, 400, 3)
    first_half = np.random.default_rng(7).permutation(400)[:200]
    right = np.zeros(400, dtype=bool)
    right[first_half] = True
    early = np.where(right, records.labels, (records.labels + 1) % 4)
    misleading = ExitRecords(get_scores(records), np.stack([early, early, records.labels]), records.labels)
    choice = choose_thresholds(misleading, costs_of(records), "risk<=5%@95%", test_split_seed=7)
    # The front is one setting, all leave at the first exit; what is tested spoils everything.
    assert choice.accuracy > 0.9 and choice.details["n_tested_on"] == 200
    other_seed = choose_thresholds(misleading, costs_of(records), "risk<=5%@95%", test_split_seed=8)
    assert other_seed.accuracy > 0.9


@pytest.mark.parametrize("goal", [f"expected-risk<={percent}%" for percent in (5, 20, 0.1, 100)])
@pytest.mark.parametrize("n_exits", [2, 3])
def test_conformal_risk_control_takes_the_loosest_threshold_that_it_may(rng, goal, n_exits):
    records = make_records(rng, 40, n_exits)
    epsilon = parse_goal(goal).numbers["epsilon_pct"] / 100
    running, loosest = np.zeros(40, dtype=bool), 0.0
    for threshold in [*np.unique(get_scores(records)[:-1]), 9.0]:
        running |= naive_spoilt(records, threshold)
        if running.mean() <= (41 * epsilon - 1) / 40 + 1e-12:
            loosest = threshold
    choice = choose_thresholds(records, costs_of(records), goal)
    expected = evaluate(records, (float(loosest),) * (n_exits - 1))
    assert choice.exit_shares == pytest.approx(expected.exit_shares)


def test_once_spoilt_a_sample_counts_as_spoilt_at_every_higher_threshold(rng):
    records = make_records(rng, 60, 4)
    bounds, running = spoilt_above(records), np.zeros(60, dtype=bool)
    for threshold in np.unique(get_scores(records)[:-1]):
        running |= naive_spoilt(records, threshold)
        assert ((bounds < threshold) == running).all()


# A population: many samples; a split: those that a threshold is chosen on. What the whole population says is true.

N_POPULATION, N_SPLITS, N_CALIBRATION = 20_000, 100, 300


def population_risk(population, thresholds):
    return evaluate_settings(population, thresholds).n_spoilt / N_POPULATION


def splits_of(population, rng):
    for _ in range(N_SPLITS):
        picked = rng.integers(0, N_POPULATION, N_CALIBRATION)
        yield take(population, picked)


def naive_choice(records):
    """The cheapest candidate that spoils at most 5 % of the very samples that it is chosen on."""
    settings = evaluate_settings(records, candidate_thresholds(records))
    allowed = settings.n_spoilt <= 0.05 * N_CALIBRATION
    costs = settings.expected_costs(costs_of(records))
    return settings.thresholds[allowed][costs[allowed].argmin()]


@pytest.mark.parametrize("n_exits", [2, 3])
def test_the_guarantee_holds_on_nearly_all_splits_and_a_naive_choice_breaks_it_on_many(rng, n_exits):
    population = make_records(rng, N_POPULATION, n_exits)
    chosen, naive = [], []
    for seed, records in enumerate(splits_of(population, rng)):
        choice = choose_thresholds(records, costs_of(records), "risk<=5%@90%", test_split_seed=seed)
        chosen.append(choice.thresholds)
        naive.append(naive_choice(records))
    violations = (population_risk(population, chosen) > 0.05).mean()
    # 10 %, and three standard errors of a share that is counted on so many splits.
    assert violations <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / N_SPLITS)
    assert (population_risk(population, naive) > 0.05).mean() > max(0.3, 2 * violations)
    assert evaluate_settings(population, chosen).exit_shares[:, 0].mean() > 0.1, "and it does let samples leave"


def test_the_expected_risk_is_kept_on_average_over_splits(rng):
    population = make_records(rng, N_POPULATION, 3)
    chosen = [choose_thresholds(r, costs_of(r), "expected-risk<=5%").thresholds for r in splits_of(population, rng)]
    risks = population_risk(population, chosen)
    assert 0.03 < risks.mean() <= 0.05 + 3 * risks.std() / math.sqrt(N_SPLITS)

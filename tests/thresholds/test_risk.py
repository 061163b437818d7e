"""Goals with a guarantee: against naive references, and on populations whose risk is known."""

import math

import numpy as np
import pytest
from synthetic_records import costs_of, make_records, naive_exits, records_of

from branchynet.thresholds import ExitRecords, choose_thresholds, parse_goal
from branchynet.thresholds.candidates import candidate_thresholds
from branchynet.thresholds.risk import binomial_p_values, fixed_sequence, spoilt_above


def naive_binomial(k, n, epsilon):
    """P(k of n) if each is with probability epsilon."""
    return math.comb(n, k) * epsilon**k * (1 - epsilon) ** (n - k)


def naive_p_value(k, n, epsilon):
    return sum(naive_binomial(i, n, epsilon) for i in range(k + 1))


def naive_spoilt(records, threshold):
    """Samples that are wrong at the exit they leave at, and right at the last, with one T for all early exits."""
    exits = naive_exits(records.scores, (threshold,) * (records.n_exits - 1))
    return records.right[-1] & ~records.right[exits, np.arange(len(exits))]


def test_the_p_value_is_the_lower_tail_of_the_binomial_distribution():
    found = binomial_p_values([0, 3, 20], 20, 0.1)
    np.testing.assert_allclose(found, [naive_p_value(k, 20, 0.1) for k in (0, 3, 20)])


def test_what_comes_after_a_failed_test_does_not_pass():
    assert fixed_sequence(np.array([0.01, 0.05, 0.2, 0.01]), 0.05).tolist() == [True, True, False, False]
    assert not fixed_sequence(np.zeros(3), 0.0).any(), "nothing is certain"
    assert fixed_sequence(np.zeros(0), 0.05).shape == (0,)


@pytest.mark.parametrize("goal", ["risk<=10%@80%", "risk<=30%@95%", "risk<=0%@95%", "risk<=100%@99%", "risk<=9%@100%"])
def test_learn_then_test_goes_from_the_safest_threshold_until_one_fails(rng, goal):
    records = make_records(rng, 60)
    numbers = parse_goal(goal).numbers
    epsilon, delta = numbers["epsilon_pct"] / 100, 1 - numbers["confidence_pct"] / 100
    n_leaving, p_value = 0, None
    for n_tried in range(1, 61):
        threshold = np.append(np.sort(records.scores[0]), 9)[n_tried]
        tried = naive_p_value(int(naive_spoilt(records, threshold).sum()), 60, epsilon)
        if tried > delta + 1e-12 or delta == 0:
            break
        n_leaving, p_value = n_tried, tried
    choice = choose_thresholds(records, costs_of(records), goal)
    assert round(60 * choice.exit_shares[0]) == n_leaving
    assert choice.details["p_value"] == (p_value and pytest.approx(p_value))
    assert choice.details["risk_bound"] <= epsilon + 1e-9


def with_one_exit_right_at(is_right):
    """Records of one early exit, samples from the lowest score to the highest; the last exit is right."""
    scores = np.arange(1.0, len(is_right) + 1) / 100
    return records_of([scores, scores], [is_right, np.ones(len(is_right), bool)])


@pytest.mark.parametrize(
    ("is_right", "goal", "n_leaving", "evidence"),
    [
        # 59 right answers show a risk of 5 % at 95 %, 58 do not.
        (
            np.arange(60) != 1,
            "risk<=5%@95%",
            1,
            {"n_spoilt": 0, "p_value": 0.95**60, "risk_bound": 1 - 0.05 ** (1 / 60)},
        ),
        (np.ones(58, bool), "risk<=5%@95%", 0, {"n_spoilt": 0, "p_value": None, "risk_bound": 0}),
        (np.zeros(8, bool), "risk<=100%@0%", 8, {"n_spoilt": 8, "p_value": 1, "risk_bound": 1}),
    ],
)
def test_the_evidence_is_that_of_the_chosen_setting(is_right, goal, n_leaving, evidence):
    records = with_one_exit_right_at(is_right)
    choice = choose_thresholds(records, costs_of(records), goal)
    assert round(len(is_right) * choice.exit_shares[0]) == n_leaving
    assert {name: choice.details[name] for name in evidence} == pytest.approx(evidence)


@pytest.mark.parametrize("n_samples", [1, 2, 61])
def test_with_more_exits_one_half_proposes_nine_steps_and_the_front_and_the_other_is_tested(rng, n_samples):
    records = make_records(rng, n_samples, 3)
    details = choose_thresholds(records, costs_of(records), "risk<=20%@80%", test_split_seed=5).details
    assert details["n_tested_on"] == n_samples - n_samples // 2
    explored = records.take(np.random.default_rng(5).permutation(n_samples)[: n_samples // 2])
    n_settings = 0
    if n_samples > 1:
        outcomes = explored.evaluate(candidate_thresholds(explored))
        found = set(zip(outcomes.expected_costs(costs_of(records)), outcomes.n_spoilt))
        n_settings = 9 + sum(
            not any(a <= cost and b <= n and (a, b) != (cost, n) for a, b in found) for cost, n in found
        )
    assert details["n_settings"] == n_settings


@pytest.mark.parametrize("goal", ["risk<=5%@90%", "expected-risk<=5%"])
def test_the_promise_is_about_the_share_that_is_spoilt(rng, goal):
    records = make_records(rng, 200)
    promised = parse_goal(goal).promise_on(records, costs_of(records), (0.8,), 100)
    assert promised["value"] == pytest.approx(100 * naive_spoilt(records, 0.8).mean()) and not promised["met"]


# With 72 samples, of which 30 % are spoilt, the tests at these two levels pass nearly as often as they may.
N_TESTED, EPSILON = 72, 0.3


def records_with_spoilt(n_spoilt, n_exits):
    """72 samples that a setting is tested on, so many of which it spoils: "always leave at exit 1", or 2 of 3."""
    is_spoilt = np.arange(N_TESTED) < n_spoilt
    if n_exits == 2:
        return records_of(np.full((2, N_TESTED), 0.5), [~is_spoilt, np.ones(N_TESTED, bool)])
    # Candidates come from the other half, where exit 2 is always right. Exit 1 never is.
    order, right = np.random.default_rng(3).permutation(2 * N_TESTED), np.ones((3, 2 * N_TESTED), bool)
    right[0], right[1, order[N_TESTED:]] = False, ~is_spoilt
    return records_of(np.full(right.shape, 0.5), right)


@pytest.mark.parametrize("delta", [0.1, 0.3])
@pytest.mark.parametrize("n_exits", [2, 3])
def test_a_setting_that_spoils_too_much_passes_nearly_with_probability_delta_and_never_more(n_exits, delta):
    probability = 0
    for n_spoilt in range(N_TESTED + 1):
        records, goal = records_with_spoilt(n_spoilt, n_exits), f"risk<={100 * EPSILON:g}%@{100 - 100 * delta:g}%"
        shares = choose_thresholds(records, costs_of(records), goal, test_split_seed=3).exit_shares
        assert shares[-1] + shares[-2] == 1, "no sample may leave at an exit that is always wrong"
        probability += shares[-2] * naive_binomial(n_spoilt, N_TESTED, EPSILON)
    assert 0.9 * delta < probability <= delta


# Conformal risk control


@pytest.mark.parametrize(
    ("n_samples", "percent", "n_allowed"),
    [
        (8, 20, 0),  # 9 * 0.2 - 1 = 0.8
        (9, 20, 1),  # 10 * 0.2 - 1 = 1
        (13, 20, 1),  # 14 * 0.2 - 1 = 1.8
        (14, 20, 2),
        (3, 20, 0),  # 4 * 0.2 - 1 < 0
        (99, 29, 28),  # 100 * 0.29 - 1, which rounding puts below 28
    ],
)
def test_the_conformal_bound_by_hand(n_samples, percent, n_allowed):
    scores = np.arange(1, n_samples + 1) / 100
    all_spoilt = records_of([scores, scores], [np.zeros(n_samples), np.ones(n_samples)])
    choice = choose_thresholds(all_spoilt, costs_of(all_spoilt), f"expected-risk<={percent}%")
    assert round(n_samples * choice.exit_shares[0]) == n_allowed
    assert choice.details["n_spoilt"] == choice.details["n_spoilt_allowed"] == n_allowed


@pytest.mark.parametrize("goal", [f"expected-risk<={percent}%" for percent in (3, 5, 20, 0.1, 100)])
@pytest.mark.parametrize("n_exits", [2, 3])
def test_conformal_risk_control_takes_the_loosest_threshold_that_it_may(rng, goal, n_exits):
    records = make_records(rng, 40, n_exits)
    epsilon = parse_goal(goal).numbers["epsilon_pct"] / 100
    running, loosest = np.zeros(40, dtype=bool), 0.0
    for threshold in [*np.unique(records.scores[:-1]), 9.0]:
        running |= naive_spoilt(records, threshold)
        if running.mean() <= (41 * epsilon - 1) / 40 + 1e-12:
            loosest = float(threshold)
    choice = choose_thresholds(records, costs_of(records), goal)
    assert choice.exit_shares == pytest.approx(records.evaluate([[loosest] * (n_exits - 1)]).exit_shares[0])


def test_once_spoilt_a_sample_counts_as_spoilt_at_every_higher_threshold(rng):
    records = make_records(rng, 60, 4)
    tied = ExitRecords(records.scores.round(1), records.predictions, records.labels)
    bounds, running = spoilt_above(tied), np.zeros(60, dtype=bool)
    for threshold in np.unique(tied.scores[:-1]):
        running |= naive_spoilt(tied, threshold)
        assert ((bounds < threshold) == running).all()
    assert 0 < running.sum() < 60


# A population: many samples; a split: those that a threshold is chosen on. What the whole population says is true.

N_POPULATION, N_SPLITS, N_CALIBRATION = 5_000, 100, 300


def population_risk(population, thresholds):
    return population.evaluate(thresholds).n_spoilt / N_POPULATION


def splits_of(population, rng):
    for _ in range(N_SPLITS):
        yield population.take(rng.integers(0, N_POPULATION, N_CALIBRATION))


def naive_choice(records):
    """The cheapest candidate that spoils at most 5 % of the very samples that it is chosen on."""
    outcomes = records.evaluate(candidate_thresholds(records))
    allowed = outcomes.n_spoilt <= 0.05 * N_CALIBRATION
    costs = outcomes.expected_costs(costs_of(records))
    return outcomes.thresholds[allowed][costs[allowed].argmin()]


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
    assert population.evaluate(chosen).exit_shares[:, 0].mean() > 0.1, "and it does let samples leave"


def test_the_expected_risk_is_kept_on_average_over_splits(rng):
    population = make_records(rng, N_POPULATION, 3)
    chosen = [choose_thresholds(r, costs_of(r), "expected-risk<=5%").thresholds for r in splits_of(population, rng)]
    risks = population_risk(population, chosen)
    assert 0.03 < risks.mean() <= 0.05 + 3 * risks.std() / math.sqrt(N_SPLITS)

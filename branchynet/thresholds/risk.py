"""Goals with a guarantee for samples still to come (risk control; for early exits: arXiv 2405.20915).

A sample is *spoilt* if the exit it leaves at answers wrong and the last exit would answer right. The share of spoilt
samples is never below the risk of arXiv 2405.20915, P(early-exit answer wrong) - P(last exit's answer wrong); so a
bound of the one is a bound of the other. "Never leave early" spoils no sample at all, so it is always allowed.

The guarantees hold for samples that are drawn as the validation samples were, if the network was not trained on those.
"""

import math

import numpy as np

from branchynet.thresholds.candidates import always, candidate_thresholds, never
from branchynet.thresholds.front import front
from branchynet.thresholds.goals import ROUNDING, Found, promise, register_goal
from branchynet.thresholds.rule import as_float32, is_below

_LOSS = "answered wrong, and right by the last exit"
_N_STEPS_UP = 10


def _spoils_few(test, costs, thresholds, n_validation, epsilon_pct, confidence_pct=None):
    outcome = test.evaluate([thresholds])
    return promise("spoilt (%)", "<=", epsilon_pct, 100 * float(outcome.n_spoilt[0]) / outcome.n_samples)


@register_goal("risk<={epsilon_pct}%@{confidence_pct}%", "risk<=0.5%@95%", promise=_spoils_few)
def risk(problem, epsilon_pct, confidence_pct) -> Found:
    """The cheapest setting that is shown to spoil at most epsilon of all samples, with a given confidence.

    Learn then test (arXiv 2110.01052) with fixed-sequence testing: settings from the safest to the loosest, each with
    the exact binomial p-value of "spoils more than epsilon", until the first p-value above delta = 1 - confidence.
    With probability >= confidence over the validation samples, all settings before that spoil at most epsilon.

    One early exit: the samples spoilt at T are among those spoilt at any higher T. Therefore the candidates may come
    from the very samples that they are tested on. A setting that spoils too much passes only if the lowest such T,
    which no sample decides, passes too (the argument of arXiv 2101.02703).

    More early exits: this is not so, and the front of expected cost and spoilt samples is found on one half of the
    validation samples and tested on the other (Pareto testing, arXiv 2210.07913). Before the front come some steps that
    lead up to it; otherwise nothing would be left if the safest setting of the front failed.
    """
    records, epsilon, delta = problem.records, epsilon_pct / 100, (100 - confidence_pct) / 100
    if records.n_exits <= 2:
        thresholds, tested_on, words = candidate_thresholds(records)[1:], records, "fixed-sequence test"
    else:
        thresholds, tested_on = _pareto_sequence(problem)
        words = "Pareto testing on halves"
    tested = tested_on.evaluate(thresholds)
    p_values = binomial_p_values(tested.n_spoilt, tested.n_samples, epsilon)
    passed = fixed_sequence(p_values, delta)
    safest = np.full((1, records.n_exits - 1), never(records))
    certified = records.evaluate(np.concatenate([safest, thresholds[passed]]))
    index = int(certified.expected_costs(problem.costs).argmin())  # of equals the safest
    rule = (
        f"the cheapest setting shown to make at most {epsilon_pct:g} % of the answers wrong that the last exit has "
        f"right, with {confidence_pct:g} % confidence ({words})"
    )
    details = {"loss": _LOSS, "epsilon": epsilon, "delta": delta, "n_tested_on": tested.n_samples}
    details.update(n_settings=len(thresholds), n_passed=int(passed.sum()))
    return Found(certified.thresholds[index], rule, {**details, **_evidence(tested, p_values, index - 1, delta)})


def binomial_p_values(n_spoilt, n_samples, epsilon) -> np.ndarray:
    """(K,) P(at most so many of n are spoilt) if each is with probability epsilon: p-values of "spoils more than that".

    Exact for a loss that is 0 or 1; the Hoeffding-Bentkus p-value of arXiv 2110.01052 bounds it from above.

    Args:
        n_spoilt: (K,) counts.
        n_samples: n.
        epsilon: in [0, 1].
    """
    from scipy.special import bdtr

    return bdtr(np.asarray(n_spoilt, dtype=np.float64), n_samples, epsilon)


def fixed_sequence(p_values, delta) -> np.ndarray:
    """(K,) bool: which of a sequence of tests pass, each at level delta, until the first that fails.

    As the order was fixed beforehand, the probability that any of them passes wrongly is at most delta.
    """
    # A p-value may underflow to 0; still, full confidence (delta = 0) is never reached.
    return np.logical_and.accumulate((p_values <= delta) & (delta > 0))


def _evidence(tested, p_values, index, delta):
    """What speaks for the chosen setting: its p-value, and the highest share of spoilt samples that fits what was seen
    (Clopper-Pearson). For "never leave early", index -1, nothing need be shown."""
    if index < 0:
        return {"n_spoilt": 0, "p_value": None, "risk_bound": 0.0}
    from scipy.special import bdtri

    n_spoilt = int(tested.n_spoilt[index])
    bound = 1.0 if n_spoilt == tested.n_samples else float(bdtri(n_spoilt, tested.n_samples, delta))
    return {"n_spoilt": n_spoilt, "p_value": float(p_values[index]), "risk_bound": bound}


def _pareto_sequence(problem):
    """The steps up to the front of cost and spoilt samples, and the front, from the safest setting to the loosest, (K,
    n_early), all from one half of the samples; and the records of the other half."""
    records = problem.records
    order = np.random.default_rng(problem.seed).permutation(len(records.labels))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    if len(first) == 0:
        return np.zeros((0, records.n_exits - 1)), records
    explored = records.take(first)
    settings = explored.evaluate(candidate_thresholds(explored))
    fastest_first = front(settings.expected_costs(problem.costs).tolist(), (-settings.n_spoilt).tolist())
    on_front = settings.thresholds[fastest_first[::-1]]
    return np.concatenate([_steps_up(explored.scores[:-1], on_front[0]), on_front]), records.take(second)


def _steps_up(scores, thresholds):
    """(k, n_early): settings that let growing parts leave of the samples whose scores are below these thresholds."""
    fractions = np.arange(1, _N_STEPS_UP) / _N_STEPS_UP
    columns = []
    for exit_scores, threshold in zip(scores, thresholds):
        n_below = np.count_nonzero(is_below(exit_scores, as_float32(threshold)))
        columns.append(np.sort(exit_scores)[(fractions * n_below).astype(int)])
    return np.stack(columns, axis=1).astype(np.float64)


@register_goal("expected-risk<={epsilon_pct}%", "expected-risk<=0.5%", promise=_spoils_few)
def expected_risk(problem, epsilon_pct) -> Found:
    """The loosest T, one for all early exits, that on average over draws of the validation samples spoils at most
    epsilon of all samples.

    Conformal risk control (arXiv 2208.02814): the loosest T with R(T) <= ((n + 1) epsilon - 1) / n. R is the mean over
    the n samples of a loss that is at most 1 and must not fall as T rises. With several early exits a sample that is
    spoilt at one T may be right at a higher one. So the loss is its running maximum: whether the sample is spoilt at T
    or at any lower threshold.
    """
    records, epsilon, n_samples = problem.records, epsilon_pct / 100, len(problem.records.labels)
    n_early, bounds = records.n_exits - 1, np.sort(spoilt_above(records))
    n_allowed = math.floor((n_samples + 1) * epsilon - 1 + ROUNDING)
    if n_allowed < 0 or n_early == 0:
        threshold = never(records)
    elif n_allowed >= n_samples or not np.isfinite(bounds[n_allowed]):
        threshold = always(records)
    else:
        threshold = float(bounds[n_allowed])
    rule = (
        f"the loosest T, one for all early exits, that on average makes at most {epsilon_pct:g} % of the answers wrong "
        "that the last exit has right (conformal risk control)"
    )
    details = {"loss": _LOSS, "epsilon": epsilon, "n_samples": n_samples, "n_spoilt_allowed": max(n_allowed, 0)}
    details["n_spoilt"] = int((bounds < threshold).sum())
    return Found((threshold,) * n_early, rule, details)


def spoilt_above(records) -> np.ndarray:
    """(N,) float64: the threshold, one for all early exits, above which a sample is spoilt or was at a lower threshold;
    infinity for samples that no threshold spoils.

    As the threshold rises, a sample leaves at an exit from its score there on, until it leaves at an earlier exit.
    """
    right, bounds = records.right, np.full(len(records.labels), np.inf)
    lowest_before = bounds.copy()
    for scores, is_right in zip(records.scores[:-1], right):
        spoils = right[-1] & ~is_right & (scores < lowest_before)
        bounds[spoils] = np.minimum(bounds, scores)[spoils]
        lowest_before = np.minimum(lowest_before, scores)
    return bounds

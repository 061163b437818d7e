"""Goals with a guarantee for samples still to come (risk control; for early exits: arXiv 2405.20915).

A sample is *spoilt* if the exit it leaves at answers wrong and the last exit would answer right. The share of spoilt
samples is never below the risk of arXiv 2405.20915, P(early-exit answer wrong) - P(last exit's answer wrong), so what
bounds the one bounds the other. "Never leave early" spoils nothing, whatever the samples: it is always allowed.

The guarantees hold for samples drawn as the validation samples were, if those were not trained on; they are no better
than that.
"""

from __future__ import annotations

import math

import numpy as np

from branchynet.choosers.candidates import always, candidate_thresholds, count_classes, get_scores, never
from branchynet.choosers.goals import Found, register_goal
from branchynet.choosers.settings import evaluate_settings
from branchynet.thresholds import ExitRecords, front

_LOSS = "answered wrong, and right by the last exit"
# A whole number that rounding has put just below itself.
_ROUNDING = 1e-9
_N_STEPS_UP = 10


@register_goal("risk<={epsilon_pct}%@{confidence_pct}%", example="risk<=0.5%@95%")
def risk(problem, epsilon_pct, confidence_pct) -> Found:
    """The cheapest setting that is shown to spoil at most epsilon of all samples, with a given confidence.

    Learn then test (arXiv 2110.01052) with fixed-sequence testing: settings from the safest to the loosest, each with
    the exact binomial p-value of "spoils more than epsilon", until the first p-value above delta = 1 - confidence.
    With probability >= confidence over the validation samples, all settings before it spoil at most epsilon.

    With one early exit the samples spoilt at T are among those spoilt at any higher T. Therefore the candidates may be
    taken from the very samples that they are tested on: a setting that spoils too much passes only if the lowest such
    T, which no sample decides, passes too (the argument of arXiv 2101.02703). With more early exits this is not so:
    there the front of expected cost and spoilt samples is found on one half of the validation samples and tested on
    the other (Pareto testing, arXiv 2210.07913). Before the front come some steps that lead up to it, so that a front
    whose safest setting fails does not leave us with nothing.
    """
    epsilon, delta = epsilon_pct / 100, (100 - confidence_pct) / 100
    if problem.records.n_exits <= 2:
        thresholds, tested_on = candidate_thresholds(problem.records)[1:], problem.records
        words = "fixed-sequence test"
    else:
        thresholds, tested_on = _pareto_sequence(problem)
        words = "Pareto testing on halves"
    settings = evaluate_settings(tested_on, thresholds)
    p_values = binomial_p_values(settings.n_spoilt, settings.n_samples, epsilon)
    passed = fixed_sequence(p_values, delta)
    safest = np.full(problem.records.n_exits - 1, never(get_scores(problem.records)))
    certified = evaluate_settings(problem.records, np.concatenate([safest[None], thresholds[passed]]))
    index = int(certified.expected_costs(problem.costs).argmin())  # of equals the safest
    rule = (
        f"the cheapest setting shown to make at most {epsilon_pct:g} % of the answers wrong that the last exit has "
        f"right, with {confidence_pct:g} % confidence ({words})"
    )
    details = {"loss": _LOSS, "epsilon": epsilon, "delta": delta, "n_tested_on": settings.n_samples}
    details.update(n_settings=len(thresholds), n_passed=int(passed.sum()))
    return Found(certified.thresholds[index], rule, {**details, **_evidence(settings, p_values, index - 1, delta)})


@register_goal("expected-risk<={epsilon_pct}%", example="expected-risk<=0.5%")
def expected_risk(problem, epsilon_pct) -> Found:
    """The loosest T, the same for all early exits, that spoils at most epsilon of all samples on average over draws of
    the validation samples.

    Conformal risk control (arXiv 2208.02814): the loosest T with R(T) <= ((n + 1) epsilon - 1) / n, where R is the mean
    of a loss that is at most 1 and must not fall as T rises. Whether a sample is spoilt may fall with several early
    exits, so its running maximum is taken: whether it is spoilt at T or at any lower threshold.
    """
    records, epsilon = problem.records, epsilon_pct / 100
    scores, n_samples = get_scores(records)[:-1], len(records.labels)
    bounds = np.sort(spoilt_above(records))
    n_allowed = math.floor((n_samples + 1) * epsilon - 1 + _ROUNDING)
    if n_allowed < 0 or len(scores) == 0:
        threshold = never(scores)
    elif n_allowed >= n_samples or not np.isfinite(bounds[n_allowed]):
        threshold = always(scores, count_classes(records))
    else:
        threshold = float(bounds[n_allowed])
    rule = (
        f"the loosest T, one for all early exits, that on average makes at most {epsilon_pct:g} % of the answers wrong "
        "that the last exit has right (conformal risk control)"
    )
    details = {"loss": _LOSS, "epsilon": epsilon, "n_samples": n_samples, "n_spoilt_allowed": max(n_allowed, 0)}
    details["n_spoilt"] = int((bounds < threshold).sum())
    return Found((threshold,) * len(scores), rule, details)


def binomial_p_values(n_spoilt, n_samples, epsilon) -> np.ndarray:
    """P(at most so many of n are spoilt) if each is with probability epsilon: the p-value of "spoils more than that".

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
    # No probability is below 0: where one underflows, full confidence (delta = 0) is not reached either.
    return np.logical_and.accumulate((p_values <= delta) & (delta > 0))


def spoilt_above(records) -> np.ndarray:
    """(N,) float64: the threshold, the same for all early exits, above which a sample is spoilt, or was already at a
    lower one; infinity for samples that no threshold spoils.

    As the threshold rises, a sample leaves at an exit from its score there on, until it leaves at an earlier one.
    """
    right = records.predictions == records.labels
    bounds = np.full(len(records.labels), np.inf)
    lowest_before = np.full(len(records.labels), np.inf)
    for scores, is_right in zip(get_scores(records)[:-1], right):
        spoils = right[-1] & ~is_right & (scores < lowest_before)
        bounds[spoils] = np.minimum(bounds, scores)[spoils]
        lowest_before = np.minimum(lowest_before, scores)
    return bounds


def _pareto_sequence(problem):
    """The way up to the front of cost and spoilt samples, and the front, from the safest setting to the loosest, all
    from one half of the samples; and the other half."""
    records = problem.records
    order = np.random.default_rng(problem.seed).permutation(len(records.labels))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    if len(first) == 0:
        return np.zeros((0, records.n_exits - 1)), records
    explored = take(records, first)
    settings = evaluate_settings(explored, candidate_thresholds(explored))
    fastest_first = front(settings.expected_costs(problem.costs).tolist(), (-settings.n_spoilt).tolist())
    on_front = settings.thresholds[fastest_first[::-1]]
    return np.concatenate([_way_up(get_scores(explored)[:-1], on_front[0]), on_front]), take(records, second)


def _way_up(scores, thresholds):
    """(k, n_early): settings that let growing parts leave of the samples whose scores are below these thresholds."""
    fractions = np.arange(1, _N_STEPS_UP) / _N_STEPS_UP
    columns = []
    for exit_scores, threshold in zip(scores, thresholds):
        n_below = np.count_nonzero(exit_scores < np.asarray(threshold, exit_scores.dtype))
        columns.append(np.sort(exit_scores)[(fractions * n_below).astype(int)])
    return np.stack(columns, axis=1).astype(np.float64)


def take(records, samples) -> ExitRecords:
    """The records of some of the samples.

    Args:
        records: `branchynet.thresholds.ExitRecords`.
        samples: (n,) indices.
    """
    return ExitRecords(get_scores(records)[:, samples], records.predictions[:, samples], records.labels[samples])


def _evidence(settings, p_values, index, delta):
    """What speaks for the chosen setting: its p-value and the highest share of spoilt samples (Clopper-Pearson) that
    fits what was seen; for "never leave early", index -1, nothing need be shown."""
    if index < 0:
        return {"n_spoilt": 0, "p_value": None, "risk_bound": 0.0}
    n_spoilt = int(settings.n_spoilt[index])
    from scipy.special import bdtri

    bound = 1.0 if n_spoilt == settings.n_samples else float(bdtri(n_spoilt, settings.n_samples, delta))
    return {"n_spoilt": n_spoilt, "p_value": float(p_values[index]), "risk_bound": bound}

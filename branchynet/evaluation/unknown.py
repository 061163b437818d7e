"""Images of none of the network's classes: do the exits notice?"""

from __future__ import annotations

import numpy as np

from branchynet.choosers import thresholds_for_shares
from branchynet.confidence import auroc
from branchynet.evaluation.study import PAPERS_MEASURE, outcome
from branchynet.thresholds import as_exit_rule, assign_exits, evaluate

# Known samples that are to be kept where unknown ones are refused by their score: the usual 95 %.
PASSING = 0.95


def compare_on_unknown(study, unknown, reference) -> list:
    """What every measure makes of unknown images, at the T that lets as many known validation samples leave at each
    exit as the paper's entropy does at its chosen T.

    Args:
        study: `Study`.
        unknown: `Recorded` images; their labels are not looked at.
        reference: the `Choice` of `Study.papers_choice`.

    Returns:
        one JSON-able entry a measure: {name, thresholds, auroc: [of each exit: test samples against unknown ones],
        known_early_pct, unknown_early_pct: shares of both that leave early, above_pct: {known, unknown: [of each exit:
        shares with a score above that of `PASSING` of the known validation samples]}, refused: None from a measure that
        has no class for the unknown, else {known, unknown: {by_exit_pct: if all went there, pct: at the exit that they
        leave at}}}.
    """
    papers = evaluate(study.validation_records[PAPERS_MEASURE], reference.thresholds)
    rows = []
    for name, measure in study.measures.items():
        thresholds = thresholds_for_shares(study.validation_records[name], papers.exit_shares[:-1])
        known, strange = study.test_records[name], unknown.records(measure)
        is_known = np.arange(len(known.labels) + len(strange.labels)) < len(known.labels)
        scores = np.concatenate([known.scores, strange.scores], axis=1)
        limits = np.quantile(study.validation_records[name].scores, PASSING, axis=1)[:, None]
        both = {"known": (study.test, known), "unknown": (unknown, strange)}
        early_pct = {
            f"{key}_early_pct": outcome(records, study.costs[name], thresholds)["early_pct"]
            for key, (_, records) in both.items()
        }
        above = {key: (100 * (records.scores > limits).mean(axis=1)).tolist() for key, (_, records) in both.items()}
        rows.append(
            {
                "name": name,
                "thresholds": list(thresholds),
                "auroc": [auroc(exit_scores, is_known) for exit_scores in scores],
                **early_pct,
                "above_pct": above,
                "refused": _refused(measure, thresholds, both),
            }
        )
    return rows


def _refused(measure, thresholds, both):
    """Which shares a measure puts into the class of the unknown."""
    shares = {}
    for key, (recorded, records) in both.items():
        refused = [measure.refuses(index, logits) for index, logits in enumerate(recorded.logits)]
        if any(of_exit is None for of_exit in refused):
            return None
        exits = assign_exits(records.scores, as_exit_rule(thresholds, records.n_exits, records.lowest))
        at_its_exit = np.take_along_axis(np.stack(refused), exits[None], axis=0)
        by_exit_pct = [100 * float(of_exit.mean()) for of_exit in refused]
        shares[key] = {"by_exit_pct": by_exit_pct, "pct": 100 * float(at_its_exit.mean())}
    return shares

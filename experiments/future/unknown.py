"""Images of none of the network's classes: do the exits notice?"""

import numpy as np

from branchynet.confidence import auroc
from branchynet.thresholds import thresholds_for_shares

# Known samples that are to be kept where unknown ones are refused by their score: the usual 95 %.
PASSING = 0.95


def compare_on_unknown(study, unknown) -> list:
    """What every measure makes of unknown images, at the T that lets as many known validation samples leave at each
    exit as the reference setting does.

    Args:
        study: `Study`.
        unknown: `Recorded` images; their labels are not looked at.

    Returns:
        one JSON-able entry a measure: {name, thresholds, auroc: [of each exit: test samples against unknown ones],
        known_early_pct, unknown_early_pct: shares of both that leave early, above_pct: {known, unknown: [of each exit:
        shares with a score above that of `PASSING` of the known validation samples]}, refused: None from a measure that
        has no class for the unknown, else {known, unknown: {by_exit_pct: if all went there, pct: at the exit that they
        leave at}}}.
    """
    rows = []
    for name, measure in study.measures.items():
        validation, known, strange = study.validation_records[name], study.test_records[name], unknown.records(measure)
        thresholds = thresholds_for_shares(validation, study.reference.exit_shares[:-1])
        is_known = np.arange(len(known.labels) + len(strange.labels)) < len(known.labels)
        scores = np.concatenate([known.scores, strange.scores], axis=1)
        limits = np.quantile(validation.scores, PASSING, axis=1)[:, None]
        refused = _refused(measure, study.test, known, thresholds), _refused(measure, unknown, strange, thresholds)
        rows.append(
            {
                "name": name,
                "thresholds": list(thresholds),
                "auroc": [auroc(exit_scores, is_known) for exit_scores in scores],
                "known_early_pct": _early_pct(known, thresholds),
                "unknown_early_pct": _early_pct(strange, thresholds),
                "above_pct": {"known": _above_pct(known, limits), "unknown": _above_pct(strange, limits)},
                "refused": None if None in refused else dict(zip(("known", "unknown"), refused)),
            }
        )
    return rows


def _early_pct(records, thresholds):
    """The share of the samples that leave before the last exit."""
    return 100 * float(records.evaluate([thresholds]).exit_shares[0, :-1].sum())


def _above_pct(records, limits):
    """[of each exit: the share of the samples whose score is above its limit], limits (n_exits, 1)."""
    return (100 * (records.scores > limits).mean(axis=1)).tolist()


def _refused(measure, recorded, records, thresholds):
    """Which share of the samples a measure puts into the class of the unknown; None where it has no such class."""
    refused = [measure.refuses(index, logits) for index, logits in enumerate(recorded.logits)]
    if any(of_exit is None for of_exit in refused):
        return None
    at_its_exit = np.take_along_axis(np.stack(refused), records.exits_at(thresholds)[None], axis=0)
    by_exit_pct = [100 * float(of_exit.mean()) for of_exit in refused]
    return {"by_exit_pct": by_exit_pct, "pct": 100 * float(at_its_exit.mean())}

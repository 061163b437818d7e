"""Measures made ready for use, with settings chosen on samples that they were not fitted to."""

import dataclasses
import itertools
import time

from branchynet.confidence import MEASURES, Measure, auroc
from branchynet.machine import terminal


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A measure that can be used, and how it came about."""

    measure: Measure  # a `branchynet.confidence.Measure`
    n_samples: int  # how many samples it was fitted to; 0 where there is nothing to fit
    fit_s: float  # seconds that fitting took, choosing settings included
    # Of each setting that was tried: {"settings", "auroc": on held-out samples, or None}; in `try_settings`.
    tried: list


def fit_measures(names, validation, training, settings_to_try=None, seed=0) -> dict:
    """Makes registered measures ready for use.

    Args:
        names: of registered measures.
        validation: `Recorded` samples held back from training, what most measures are fitted to.
        training: `Recorded` training samples, for measures whose `fits_on` says so.
        settings_to_try: {name of a measure: {setting: values to try}}; others get their default settings.
        seed: of whatever is drawn.

    Returns:
        {name: `Fitted`}
    """
    fitted = {}
    for name in terminal.counted("fitting measures", list(names), "measure"):
        start = time.perf_counter()
        kind, grid = MEASURES.get(name), (settings_to_try or {}).get(name)
        samples = training if kind.fits_on == "training" else validation
        tried = try_settings(kind, grid, samples, seed) if grid else []
        measure = kind(**best_settings(tried)).fit(samples.logits, samples.labels, seed)
        n_samples = len(samples.labels) if kind.fitted_names else 0
        fitted[name] = Fitted(measure, n_samples, time.perf_counter() - start, tried)
    return fitted


def try_settings(kind, grid, samples, seed=0) -> list:
    """Fits a measure to one half of the samples with every combination of settings, and judges each on the other half.

    Only the early exits are looked at: the score at the last one decides nothing.

    Args:
        kind: a subclass of `branchynet.confidence.Measure`.
        grid: {setting: values to try}.
        samples: `Recorded`.
        seed: of the halving, and of whatever is drawn in fitting.

    Returns:
        for each combination, in the order of the grid: {"settings": {setting: value}, "auroc": mean over the early
        exits of the AUROC of score against being right, on the half that was not fitted to; None where every answer is
        right, or none}.
    """
    fit, held_out = samples.parted(seed=seed)
    n_judged = max(1, len(samples.logits) - 1)
    tried = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values))
        measure = kind(**settings).fit(fit.logits[:n_judged], fit.labels, seed)
        scores = measure.scores_of_exits(held_out.logits[:n_judged])
        right = held_out.logits[:n_judged].argmax(axis=2) == held_out.labels
        areas = [area for area in map(auroc, scores, right) if area is not None]
        tried.append({"settings": settings, "auroc": sum(areas) / len(areas) if areas else None})
    return tried


def best_settings(tried) -> dict:
    """The settings with the highest AUROC, of equal ones the first; none, where none were tried."""
    if not tried:
        return {}
    return max(tried, key=lambda entry: -1.0 if entry["auroc"] is None else entry["auroc"])["settings"]

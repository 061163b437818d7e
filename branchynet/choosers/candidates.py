"""Thresholds worth trying, taken from the recorded scores themselves.

Only where a score lies does a threshold change anything, so thresholds between neighbouring scores are all there are.
Of many scores some are picked, densely at both ends of their order: a branchy network lives where nearly all samples
leave, or nearly none.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

# Candidates of the only early exit; of each of two; and of each of more, from which settings are then composed.
_N_LEVELS_ONE, _N_LEVELS_TWO, _N_LEVELS_MORE = 1000, 60, 400
_N_SHARES, _RATIOS = 40, np.geomspace(1 / 16, 16, 41)


def get_scores(records) -> np.ndarray:
    """(n_exits, N) float: how unsure each exit is of each sample by some measure; the lower, the surer."""
    return records.scores


def never(scores) -> float:
    """A threshold at which no sample leaves: 0 where the scores, as entropies, are never negative."""
    lowest = float(np.min(scores, initial=0.0))
    return 0.0 if lowest >= 0 else math.floor(lowest) - 1.0


def always(scores, n_classes) -> float:
    """A threshold at which all samples leave, those still to come too: above ln C, the highest entropy, above 1, and
    above every score. It is finite, because a record cannot hold infinity."""
    highest = np.max(scores, initial=0.0)
    above = math.ceil(max(float(highest), math.log(n_classes))) + 1.0
    # Far from 0, a number and the same plus 1 are equal.
    return max(above, float(np.nextafter(highest, np.inf, dtype=scores.dtype)))


def count_classes(records) -> int:
    """The number of classes, as far as labels and predictions tell."""
    return 1 + int(max(records.labels.max(), records.predictions.max()))


def between(below, above):
    """Thresholds halfway between two scores, exact in the scores' own precision: `below` leaves, `above` stays.

    Args:
        below, above: NumPy arrays or scalars of one shape and dtype, below < above.
    """
    middle = (below + (above - below) / 2).astype(above.dtype)
    return np.where(middle > below, middle, above)


def thresholds_of_one_exit(scores, n_classes, n_levels) -> np.ndarray:
    """Candidates of one early exit, ascending: "never leave", some between neighbouring scores, "always leave".

    Args:
        scores: (N,) of the samples at this exit, N >= 1.
        n_classes: number of classes.
        n_levels: how many ranks to look at; all of them where there are no more samples than that.

    Returns:
        (K,) float64, K <= min(n_levels, N) + 1.
    """
    ordered = np.sort(scores)
    if len(ordered) > n_levels:
        # Chebyshev's spacing: steps that shrink towards both ends.
        levels = (1 - np.cos(np.linspace(0, np.pi, n_levels))) / 2
        ordered_picks = ordered[np.rint(levels * (len(ordered) - 1)).astype(int)]
    else:
        ordered_picks = ordered
    distinct = np.unique(ordered)
    picks = np.unique(np.searchsorted(distinct, ordered_picks))
    picks = picks[picks < len(distinct) - 1]
    inner = between(distinct[picks], distinct[picks + 1]).astype(np.float64)
    return np.concatenate([[never(scores)], inner, [always(scores, n_classes)]])


def candidate_thresholds(records) -> np.ndarray:
    """Settings of T worth trying.

    One early exit: up to 1,000 thresholds. Two: all pairs of about 60 each. More: a family of two parameters, the share
    of the samples that the first exit lets go and the ratio by which the share that stays changes from exit to exit; so
    that it stays fast for any number of exits.

    Args:
        records: `branchynet.thresholds.ExitRecords` of at least one sample.

    Returns:
        (K, n_exits - 1) float64; "never leave early" comes first, "always leave at the first exit" is among them.
    """
    early_scores, n_classes = get_scores(records)[:-1], count_classes(records)
    n_early = len(early_scores)
    if n_early == 0:
        return np.zeros((1, 0))
    n_levels = {1: _N_LEVELS_ONE, 2: _N_LEVELS_TWO}.get(n_early, _N_LEVELS_MORE)
    ladders = [thresholds_of_one_exit(scores, n_classes, n_levels) for scores in early_scores]
    if n_early <= 2:
        return np.array(list(itertools.product(*ladders)))
    staying = np.linspace(1, 0, _N_SHARES)[:, None, None]
    staying = np.clip(staying * _RATIOS[:, None] ** np.arange(n_early), 0, 1).reshape(-1, n_early)
    columns = [ladder[np.rint((1 - s) * (len(ladder) - 1)).astype(int)] for ladder, s in zip(ladders, staying.T)]
    return np.unique(np.stack(columns, axis=1), axis=0)

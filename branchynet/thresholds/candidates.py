"""Thresholds worth trying, taken from the recorded scores themselves.

A threshold changes the outcome only where it passes a recorded score, so one threshold between each two neighbouring
scores is enough. Of many scores some are picked, more densely at both ends of their order: useful thresholds let nearly
all samples leave, or nearly none.
"""

import itertools
import math

import numpy as np

from branchynet.thresholds.rule import as_float32, is_below

# Candidates of the only early exit; of each of two; and of each of more, from which settings are then composed.
_N_LEVELS_ONE, _N_LEVELS_TWO, _N_LEVELS_MORE = 1000, 60, 400
_N_SHARES, _RATIOS = 40, np.geomspace(1 / 16, 16, 41)


def never(records) -> float:
    """A threshold at which no recorded sample leaves: the lower bound of the scores, 0 for the entropy."""
    bound = records.lowest if math.isfinite(records.lowest) else 0.0
    lowest = float(np.min(records.scores[:-1], initial=bound))
    return bound if lowest >= bound else math.floor(lowest) - 1.0


def always(records) -> float:
    """A threshold at which all samples leave, later ones too: above every score, above 1 and above ln C, the highest
    entropy. It is finite, because a run record cannot hold infinity."""
    highest = np.max(records.scores[:-1], initial=records.scores.dtype.type(0))
    above = math.ceil(max(float(highest), math.log(records.n_classes))) + 1.0
    # A large float32 number and the same plus 1 are equal.
    return max(above, float(np.nextafter(highest, np.inf, dtype=highest.dtype)))


def between(below, above):
    """Thresholds halfway between scores below < above, float32 of one shape. The lower leave and the higher stay, even
    where no float32 number lies between them."""
    middle = (below + (above - below) / 2).astype(above.dtype)
    return np.where(middle > below, middle, above)


def threshold_after(records, distinct, n_below) -> float:
    """The threshold at which exactly the samples with the lowest `n_below` of some scores leave.

    Args:
        records: `ExitRecords`.
        distinct: (n,) float32, different scores of one exit, ascending.
        n_below: from 0, no sample leaves, to n, all leave.
    """
    if n_below == 0:
        return never(records)
    return always(records) if n_below == len(distinct) else float(between(distinct[n_below - 1], distinct[n_below]))


def exit_by_exit(records, choose) -> tuple:
    """Thresholds of the early exits, n_exits - 1 floats, each chosen from the samples that reach the exit.

    Args:
        records: `ExitRecords`.
        choose: (early exit, 0 for the first; (n,) indices of the samples that reach it) -> T.
    """
    remaining, thresholds = np.arange(len(records.labels)), []
    for early_exit, scores in enumerate(records.scores[:-1]):
        thresholds.append(choose(early_exit, remaining))
        remaining = remaining[~is_below(scores[remaining], as_float32(thresholds[-1]))]
    return tuple(thresholds)


def candidate_thresholds(records) -> np.ndarray:
    """Settings of T worth trying.

    One early exit: up to 1,000 thresholds. Two: all pairs of about 60 each. More: a family with two parameters, so that
    their number does not grow with that of the exits. They are the share of the samples that the first exit lets go,
    and the ratio by which the share that stays changes from exit to exit.

    Returns:
        (K, n_exits - 1) float64. "Never leave early" comes first; "always leave at the first exit" is among them.
    """
    n_early = records.n_exits - 1
    if n_early == 0:
        return np.zeros((1, 0))
    n_levels = {1: _N_LEVELS_ONE, 2: _N_LEVELS_TWO}.get(n_early, _N_LEVELS_MORE)
    ladders = [_ladder(records, scores, n_levels) for scores in records.scores[:-1]]
    if n_early <= 2:
        return np.array(list(itertools.product(*ladders)))
    staying = np.linspace(1, 0, _N_SHARES)[:, None, None]
    staying = np.clip(staying * _RATIOS[:, None] ** np.arange(n_early), 0, 1).reshape(-1, n_early)
    columns = [ladder[np.rint((1 - s) * (len(ladder) - 1)).astype(int)] for ladder, s in zip(ladders, staying.T)]
    return np.unique(np.stack(columns, axis=1), axis=0)


def _ladder(records, scores, n_levels):
    """Candidates of one early exit, ascending, (K,) float64: "never", some between neighbouring scores, "always".

    K is at most n_levels + 1, and at most one more than there are different scores (N,).
    """
    picks = ordered = np.sort(scores)
    if len(ordered) > n_levels:
        # Chebyshev's spacing: steps that shrink towards both ends.
        levels = (1 - np.cos(np.linspace(0, np.pi, n_levels))) / 2
        picks = ordered[np.rint(levels * (len(ordered) - 1)).astype(int)]
    distinct = np.unique(ordered)
    ranks = np.unique(np.searchsorted(distinct, picks))
    ranks = ranks[ranks < len(distinct) - 1]
    inner = between(distinct[ranks], distinct[ranks + 1]).astype(np.float64)
    return np.concatenate([[never(records)], inner, [always(records)]])

"""How well scores rank samples."""

import numpy as np


def auroc(scores, right):
    """Area under the ROC curve of "the lower the score, the likelier right".

    It is the share of the pairs of a right and a wrong sample in which the right one has the lower score; a tie counts
    half (Fawcett 2006, An introduction to ROC analysis). 1 is a perfect order, 0.5 what guessing gives.

    Args:
        scores: (N,) float, on the host, the lower the surer.
        right: (N,) bool.

    Returns:
        float in [0, 1]; None where there are no pairs.
    """
    if right.all() or not right.any():
        return None
    right_scores, wrong_scores = np.sort(scores[right]), scores[~right]
    below = np.searchsorted(right_scores, wrong_scores, "left")
    not_above = np.searchsorted(right_scores, wrong_scores, "right")
    return float((below + not_above).mean() / (2 * len(right_scores)))

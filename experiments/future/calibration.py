"""Whether an exit is right as often as it says (reliability diagrams: Guo et al. 2017, arXiv 1706.04599)."""

import numpy as np

from branchynet.confidence import expected_calibration_error, reliability_bins, softmax


def reliability(recorded, temperatures) -> list:
    """How far the largest probability of each exit can be believed, before and after temperature scaling.

    Args:
        recorded: `Recorded`.
        temperatures: (n_exits,), `tau_` of a fitted `CalibratedEntropy`.

    Returns:
        for each exit {"temperature", "before", "after"}, the last two {"bins": `reliability_bins`, "error": the
        expected calibration error, in [0, 1]}.
    """
    rows = []
    for logits, temperature in zip(recorded.logits, np.asarray(temperatures).tolist()):
        right = logits.argmax(axis=1) == recorded.labels
        row = {"temperature": temperature}
        for key, scaled in (("before", logits), ("after", logits / temperature)):
            bins = reliability_bins(softmax(scaled.astype(np.float64)).max(axis=1), right)
            row[key] = {"bins": bins, "error": expected_calibration_error(bins)}
        rows.append(row)
    return rows

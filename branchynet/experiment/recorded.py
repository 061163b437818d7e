"""What a run leaves for its report: exit records of the test samples by the measures that a report shows."""

import numpy as np

from branchynet.inference import record_logits
from branchynet.machine import terminal
from branchynet.thresholds import ExitRecords

# Names in the folder of the results; the first without its endings.
EXIT_RECORDS, REPORT = "exit_records", "report.html"
_BATCH_SIZE = 500
# The exit rule's own, and the one whose reliability is told.
_MEASURES = ("entropy", "max-probability")


def record_by_measure(net, x, labels) -> dict:
    """The exit records of samples, from one pass of a net.

    Args:
        net: a `BranchyNet`.
        x: (N, C, H, W) float32.
        labels: (N,) integers.

    Returns:
        {name of a measure: `branchynet.thresholds.ExitRecords`}, the entropy among them.
    """
    logits = shown_logits(net, x, "test images")
    return {name: ExitRecords.of(logits, labels, name) for name in _MEASURES}


def shown_exits(net, x, labels, text) -> ExitRecords:
    """What `branchynet.inference.record_exits` gives, with progress on the terminal."""
    return ExitRecords.of(shown_logits(net, x, text), labels)


def shown_logits(net, x, text) -> np.ndarray:
    """What `branchynet.inference.record_logits` gives of one sample or more, with progress on the terminal."""
    starts = range(0, len(x), _BATCH_SIZE)
    parts = [record_logits(net, x[start : start + _BATCH_SIZE]) for start in terminal.counted(text, starts, "batch")]
    return np.concatenate(parts, axis=1)

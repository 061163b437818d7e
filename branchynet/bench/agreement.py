"""Whether the fast paths answer what the reference path answers.

A sample whose score is within 1e-5 of a threshold (of a score beyond 1: of its size) may go either way, for rounding
decides there; it is counted.
"""

from __future__ import annotations

import numpy as np

from branchynet.confidence import ENTROPY
from branchynet.inference import record_exits, run
from branchynet.machine.devices import to_host
from branchynet.thresholds import as_exit_rule

EDGE = 1e-5
MAX_LOGIT_DIFFERENCE = 1e-4


def check_answers(net, samples, thresholds, labels, exits, measure=ENTROPY, expected=None) -> np.ndarray:
    """Holds answers against the reference path.

    Args:
        samples: (n, C, H, W) float32.
        thresholds: what the answers were given at.
        labels, exits: (n,) the answers, on the host.
        measure: the `Measure` that they were given by.
        expected: what the reference path answers, if that is known already.

    Returns:
        indices of the answers that differ, all of them on the edge of a threshold.

    Raises:
        RuntimeError: an answer differs that is not on such an edge.
    """
    expected = expected or run(net, samples, thresholds, batch_size=500, measure=measure)
    differing = np.flatnonzero((to_host(expected.labels) != labels) | (to_host(expected.exits) != exits))
    rule = as_exit_rule(thresholds, net.n_exits, measure.lowest)
    scores = record_exits(net, samples[differing], labels[differing], measure=measure).scores[:-1]
    margins = np.abs(scores - np.array(rule.values)[:, None]) / np.maximum(1, np.abs(scores))
    n_wrong = int((margins.min(axis=0, initial=np.inf) > EDGE).sum())
    if n_wrong:
        raise RuntimeError(f"{n_wrong} of {len(labels)} answers differ from those of the reference path")
    return differing


def agreement(net, compiled, samples, thresholds, batch_sizes=(1, 1000), expected=None) -> dict:
    """Holds a compiled network against the reference path on every sample, in batches of several sizes.

    Args:
        net: the `BranchyNet` that was compiled.
        compiled: a `branchynet.inference.CompiledNet`, which brings the measure.
        samples: (n, C, H, W) float32 on the host.
        thresholds: as of `branchynet.inference.run`.
        batch_sizes: samples at a time; the answers may not depend on it.
        expected: as of `check_answers`.

    Returns:
        JSON-able: {n_samples, n_on_the_edge: answers that differ on the edge of a threshold, the most of any batch
        size, largest_logit_difference}.

    Raises:
        RuntimeError: an answer differs that is not on an edge, or a logit by more than `MAX_LOGIT_DIFFERENCE`.
    """
    expected = expected or run(net, samples, thresholds, batch_size=500, measure=compiled.measure)
    n_on_the_edge, largest = 0, 0.0
    for batch_size in batch_sizes:
        parts = [compiled.run(samples[i : i + batch_size], thresholds) for i in range(0, len(samples), batch_size)]
        labels, exits, _, logits = (np.concatenate(list(map(to_host, arrays))) for arrays in zip(*parts))
        differing = check_answers(net, samples, thresholds, labels, exits, compiled.measure, expected)
        differences = np.delete(np.abs(logits - to_host(expected.logits)), differing, axis=0)
        n_on_the_edge = max(n_on_the_edge, len(differing))
        largest = float(np.maximum(largest, differences.max(initial=0.0)))  # NaN if there is one
    if not largest <= MAX_LOGIT_DIFFERENCE:
        raise RuntimeError(
            f"logits: expected those of the reference path to within {MAX_LOGIT_DIFFERENCE:g}, got {largest:.2g}"
        )
    return {"n_samples": len(samples), "n_on_the_edge": n_on_the_edge, "largest_logit_difference": largest}

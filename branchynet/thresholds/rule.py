"""The exit rule (paper, section III-C): a sample leaves at the first exit n whose score is below T_n.

The last exit takes every sample that reaches it. The score is the entropy, or what another measure of
`branchynet.confidence` gives; the lower it is, the surer the exit.

The comparison exists once, `is_below`, and has one precision: score and T are both float32. Therefore arrays, a single
sample, the exported file and the count over many settings decide alike. A T that float32 does not hold, such as 0.1,
means the nearest float32 number everywhere.
"""

import dataclasses
import math

import numpy as np
from chainer.backend import get_array_module

from branchynet.errors import ThresholdError
from branchynet.gate import floats, is_real, shown


def is_below(scores, thresholds):
    """Whether samples leave, bool. Scores and thresholds are float32 numbers or arrays (see `as_float32`)."""
    return scores < thresholds


def as_float32(thresholds):
    """Thresholds in the precision in which they are compared. What is too large for it becomes infinity."""
    with np.errstate(over="ignore"):
        return np.float32(thresholds)


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Leave at exit n if the score (by default the entropy, in nats) is below ``values[n]``.

    Attributes:
        values: tuple of n_exits - 1 floats.
    """

    values: tuple

    def __post_init__(self):
        object.__setattr__(self, "values", _frozen(self.values))
        compared = tuple(map(as_float32, self.values)) if _are_floats(self.values) else None
        object.__setattr__(self, "_compared", compared)

    def leaves(self, early_exit, scores):
        """Which samples leave an exit (0 for the first): scores float32, (N,) or one number -> bool of that shape."""
        return is_below(scores, self._compared[early_exit])


@dataclasses.dataclass(frozen=True)
class PercentExits:
    """Let the surest ``values[n]`` percent of the samples that reach exit n leave there.

    The percentage is of the batch at hand, so an answer depends on the other samples of the batch. This is for finding
    out what a share of exits would cost, as in the authors' code (percentTestExits).

    Attributes:
        values: tuple of n_exits - 1 percentages.
    """

    values: tuple

    def __post_init__(self):
        object.__setattr__(self, "values", _frozen(self.values))

    def leaves(self, early_exit, scores):
        """Which samples leave an exit (0 for the first): scores (N,) -> bool (N,)."""
        xp = get_array_module(scores)
        n_leaving = int(round(self.values[early_exit] / 100 * len(scores)))
        mask = xp.zeros(len(scores), dtype=bool)
        mask[xp.argsort(scores)[:n_leaving]] = True
        return mask


def as_exit_rule(thresholds, n_exits: int, lowest: float = 0.0):
    """The exit rule that a caller means, `Thresholds` or `PercentExits`.

    Args:
        thresholds: one number for all early exits; a list, a tuple or a 1-D array with one number for each; or a rule,
            `Thresholds` or `PercentExits`.
        n_exits: number of the network's exits, the last one included.
        lowest: lower bound of the scores, `Measure.lowest`; 0 for the entropy.

    Raises:
        ThresholdError: this is something else, there are more or fewer numbers than early exits, or one of them is NaN,
            below `lowest` or not a percentage.
    """
    is_percent = isinstance(thresholds, PercentExits)
    given = thresholds.values if isinstance(thresholds, (PercentExits, Thresholds)) else thresholds
    values = (float(given),) * (n_exits - 1) if is_real(given) else floats(given)
    if values is None:
        raise ThresholdError(f"thresholds: expected a number or a list of numbers, got {shown(given)}")
    if len(values) != n_exits - 1:
        raise ThresholdError(f"thresholds: expected {n_exits - 1} (the last exit takes all), got {len(values)}")
    lowest, highest = (0.0, 100.0) if is_percent else (lowest, math.inf)
    for value in values:
        if not lowest <= value <= highest:
            expected = "a percentage from 0 to 100" if is_percent else f"a score >= {lowest:g} (an entropy: in nats)"
            raise ThresholdError(f"thresholds: expected {expected}, got {value}")
    return PercentExits(values) if is_percent else Thresholds(values)


def _frozen(values):
    """Floats, which a caller cannot change any more; what is no number is left for `as_exit_rule` to refuse."""
    if _are_floats(values):
        return values
    numbers = float(values) if is_real(values) else floats(values)
    return values if numbers is None else numbers


def _are_floats(values):
    return type(values) is tuple and {float}.issuperset(map(type, values))


def assign_exits(scores, rule):
    """The exit that each sample takes, (N,) int32, 0 for the first exit.

    Args:
        scores: (n_exits, N) float32, NumPy or CuPy.
        rule: of `as_exit_rule`.
    """
    xp = get_array_module(scores)
    n_exits, n_samples = scores.shape
    exits = xp.full(n_samples, n_exits - 1, dtype=np.int32)
    remaining = xp.arange(n_samples)
    for early_exit in range(n_exits - 1):
        leaving = rule.leaves(early_exit, scores[early_exit, remaining])
        exits[remaining[leaving]] = early_exit
        remaining = remaining[~leaving]
    return exits

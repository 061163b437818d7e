"""The register of measures. One function or one class adds another measure::

@register_measure("largest logit")
def largest_logit(logits):
    return -logits.max(axis=1)

run(net, x, thresholds=-5.0, measure="largest logit")
"""

import math

import numpy as np
from chainer.backend import get_array_module

from branchynet.confidence.measure import Measure
from branchynet.errors import MeasureError
from branchynet.registry import Registry

MEASURES = Registry(
    "measure",
    MeasureError,
    {
        "entropy": "branchynet.confidence.entropy:Entropy",
        "max-probability": "branchynet.confidence.direct:MaxProbability",
        "margin": "branchynet.confidence.direct:Margin",
        "energy": "branchynet.confidence.direct:Energy",
        "patience": "branchynet.confidence.direct:Patience",
        "calibrated-entropy": "branchynet.confidence.calibration:CalibratedEntropy",
        "correctness-net": "branchynet.confidence.correctness:CorrectnessNet",
        "opengan": "branchynet.confidence.opengan:OpenGan",
        "openmax": "branchynet.confidence.openmax:OpenMax",
    },
)


class _FunctionMeasure(Measure):
    """A measure that is a function of the logits of one exit."""

    function = None

    def scores(self, exit_index, logits):
        return self.function(logits)


def _registered(kind, **attributes):
    """The class of a measure of one's own as it is registered: it works on copies of the logits, and its scores are
    looked at.

    Logits are small, ten numbers a sample, so a copy costs next to nothing. Without it, a measure that sorts them in
    place would change what the network answers.
    """

    class Registered(kind):
        __doc__ = kind.__doc__
        # Inherited from a measure of the library, it need not fit the `scores` of the new class.
        score_of_one = None

        def scores_after(self, exit_index, logits, earlier):
            xp, expected = get_array_module(logits), (len(logits),)
            scores = super().scores_after(exit_index, logits.copy(), [exit_logits.copy() for exit_logits in earlier])
            if not isinstance(scores, xp.ndarray) or scores.shape != expected or scores.dtype.kind not in "biuf":
                found = f"{scores.dtype} of shape {scores.shape}" if isinstance(scores, xp.ndarray) else repr(scores)
                raise MeasureError(f"{self.name}: expected real scores of shape {expected}, got {found}")
            if xp.isnan(scores).any():
                raise MeasureError(f"{self.name}: expected scores that are numbers, got NaN")
            return scores.astype(np.float32)

    for name, value in attributes.items():
        setattr(Registered, name, value)
    return Registered


def register_measure(name, lowest=-math.inf, replace=False):
    """A decorator that registers a function or a subclass of `Measure`.

    A function takes logits (N, n_classes) float32, NumPy or CuPy, and returns scores (N,), real numbers. It is called
    with a copy of the logits, and so is `scores` of a class. Scores of another shape, complex ones and NaN are refused.

    Args:
        name: what callers ask for the measure by.
        lowest: lower bound of the scores of a function; a class states its own.
        replace: this measure takes the place of one of that name.

    Raises:
        MeasureError: what is decorated is neither, or the name is taken.
    """

    def register(target):
        if isinstance(target, type) and issubclass(target, Measure):
            kind = _registered(target, name=name, __name__=target.__name__)
        elif callable(target) and not isinstance(target, type):
            kind = _registered(_FunctionMeasure, name=name, lowest=lowest, function=staticmethod(target))
        else:
            raise MeasureError(f"measure {name!r}: expected a function or a subclass of Measure, got {target!r}")
        MEASURES.add(name, kind, replace)
        return kind if isinstance(target, type) else target

    return register


def as_measure(measure) -> Measure:
    """The measure that a caller means: a `Measure`, or the name of one, which is made with its default settings.

    Raises:
        MeasureError: it is neither.
    """
    return measure if isinstance(measure, Measure) else MEASURES.get(measure)()

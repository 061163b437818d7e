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
from branchynet.gate import shown
from branchynet.registry import Registry

_OF_THE_LIBRARY = {
    "entropy": "branchynet.confidence.entropy:Entropy",
    "max-probability": "branchynet.confidence.direct:MaxProbability",
    "margin": "branchynet.confidence.direct:Margin",
    "energy": "branchynet.confidence.direct:Energy",
    "patience": "branchynet.confidence.direct:Patience",
    "calibrated-entropy": "branchynet.confidence.calibration:CalibratedEntropy",
    "correctness-net": "branchynet.confidence.correctness:CorrectnessNet",
    "opengan": "branchynet.confidence.opengan:OpenGan",
    "openmax": "branchynet.confidence.openmax:OpenMax",
}
MEASURES = Registry("measure", MeasureError, _OF_THE_LIBRARY)


class _Guarded(Measure):
    """A measure of one's own as the library calls it: it works on copies of the logits, and its scores are looked at.

    Logits are small, ten numbers a sample, so a copy costs next to nothing. Without it, a measure that sorts them in
    place would change what the network answers.
    """

    scores_of_exits = Measure.scores_of_exits
    # Inherited from a measure of the library, it need not fit the `scores` of the class that inherits it.
    score_of_one = None

    def __init__(self, measure):
        self._measure = measure
        said = [name for name in vars(Measure) if not name.startswith("__") and name not in vars(_Guarded)]
        vars(self).update({name: getattr(measure, name) for name in said})
        self.name = measure.name or type(measure).__name__

    def scores_after(self, exit_index, logits, earlier):
        xp, expected = get_array_module(logits), (len(logits),)
        copies = [exit_logits.copy() for exit_logits in earlier]
        scores = self._measure.scores_after(exit_index, logits.copy(), copies)
        is_array = isinstance(scores, xp.ndarray) and not isinstance(scores, np.ma.MaskedArray)
        if not is_array or scores.shape != expected or scores.dtype.kind not in "biuf":
            found = f"{scores.dtype} of shape {scores.shape}" if is_array else shown(scores)
            raise MeasureError(f"{self.name}: expected real scores of shape {expected}, got {found}")
        if xp.isnan(scores).any():
            raise MeasureError(f"{self.name}: expected scores that are numbers, got NaN at exit {exit_index + 1}")
        return scores.astype(np.float32)

    def refuses(self, exit_index, logits):
        return self._measure.refuses(exit_index, logits.copy())


def register_measure(name, lowest=-math.inf, replace=False):
    """A decorator that registers a function or a subclass of `Measure`.

    A function takes logits (N, n_classes) float32, NumPy or CuPy, and returns scores (N,), real numbers. `as_measure`
    says how it is called.

    Args:
        name: what callers ask for the measure by.
        lowest: lower bound of the scores of a function; a class states its own.
        replace: this measure takes the place of one of that name.

    Raises:
        MeasureError: what is decorated is neither, or the name is taken.
    """

    def register(target):
        if isinstance(target, type) and issubclass(target, Measure):
            kind = type(target.__name__, (target,), {"__doc__": target.__doc__, "name": name})
        elif callable(target) and not isinstance(target, type):
            said = {"name": name, "lowest": lowest, "scores": lambda self, exit_index, logits: target(logits)}
            kind = type("_FunctionMeasure", (Measure,), said)
        else:
            raise MeasureError(f"measure {name!r}: expected a function or a subclass of Measure, got {target!r}")
        MEASURES.add(name, kind, replace)
        return kind if isinstance(target, type) else target

    return register


def as_measure(measure) -> Measure:
    """The measure that a caller means: a `Measure`, or the name of one, which is made with its default settings.

    One that is not of the library is called with copies of the logits, and MeasureError tells of scores of another
    shape, of complex ones and of NaN.

    Raises:
        MeasureError: it is neither.
    """
    if not isinstance(measure, Measure):
        name, kind = measure, MEASURES.get(measure)
        try:
            measure = kind()
        except TypeError as error:
            raise MeasureError(f"{name}: expected default settings, got none; make one and give it: {error}") from error
    kind = type(measure)
    is_known = kind is _Guarded or f"{kind.__module__}:{kind.__qualname__}" in _OF_THE_LIBRARY.values()
    return measure if is_known else _Guarded(measure)

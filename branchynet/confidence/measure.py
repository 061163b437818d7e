"""What a confidence measure is, and the register of measures.

A measure gives every sample at every exit a *score*, the lower the surer; a sample leaves exit n if its score is below
T_n (`branchynet.thresholds`). Everything that asks how sure an exit is takes a measure: recording, both inference
paths, the benchmark. One function or one class adds another measure::

    @register_measure("largest logit")
    def largest_logit(logits):
        return -logits.max(axis=1)

    run(net, x, thresholds=-5.0, measure="largest logit")
"""

from __future__ import annotations

import math

import numpy as np

from branchynet.errors import MeasureError

_REGISTERED = {}


class Measure:
    """How sure an exit is of its answer. A class of its own says `scores`; all else has a default.

    Attributes:
        name: what it is registered as.
        lowest: no score is below this; a threshold of this much lets no sample leave.
        needs_earlier_exits: whether `scores` looks at the logits of the exits before.
        setting_names: arguments of the constructor, which keeps each as an attribute of that name.
        fitted_names: attributes that `fit` sets, arrays whose first axis is the exit.
        fits_on: "validation", samples held back from training, or "training": what `fit` is to be given.
    """

    name = ""
    lowest = 0.0
    needs_earlier_exits = False
    setting_names = ()
    fitted_names = ()
    fits_on = "validation"

    def scores(self, exit_index, logits, earlier=()):
        """How sure an exit is of each sample.

        Args:
            exit_index: 0 for the first exit.
            logits: (N, n_classes) float32 of that exit, NumPy or CuPy; N may be 0.
            earlier: the logits of the exits before it, first exit first, of the same samples; empty unless
                `needs_earlier_exits`.

        Returns:
            (N,) float32 on the same device, the lower the surer.
        """
        raise NotImplementedError

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """The score of one sample on the host: what `scores` gives, up to rounding.

        For ten numbers, array calls cost more than the arithmetic: a measure that can be written in plain Python
        overrides this for the sake of single samples.

        Args:
            exit_index: 0 for the first exit.
            logits: list of n_classes floats.
            earlier: such lists of the exits before; empty unless `needs_earlier_exits`.
        """
        earlier = [np.array([values], np.float32) for values in earlier]
        return float(self.scores(exit_index, np.array([logits], np.float32), earlier)[0])

    def scores_of_exits(self, logits) -> list:
        """The scores of every exit on samples that went through all of them.

        Args:
            logits: for each exit (N, n_classes) float32.

        Returns:
            for each exit (N,) float32.
        """
        return [
            self.scores(index, exit_logits, logits[:index] if self.needs_earlier_exits else ())
            for index, exit_logits in enumerate(logits)
        ]

    def refuses(self, exit_index, logits):
        """Which samples it takes for something that is no class of the network's.

        Args:
            exit_index: 0 for the first exit.
            logits: (N, n_classes) float32 of that exit.

        Returns:
            (N,) bool; None from a measure that has no such answer, as most have not.
        """
        return None

    def fit(self, logits_per_exit, labels, seed=0) -> Measure:
        """Learns from recorded logits what the measure has to learn; most have nothing to, and return at once.

        Args:
            logits_per_exit: for each exit (N, n_classes) float32, what `branchynet.inference.record_logits` returns.
            labels: (N,) integers, the truth.
            seed: of whatever is drawn.
        """
        return self

    def check(self, n_exits) -> None:
        """Raises MeasureError unless the measure can be used on a network of so many exits."""

    def describe(self) -> dict:
        """Name and settings, JSON-able."""
        return {"name": self.name, "settings": {name: getattr(self, name) for name in self.setting_names}}

    def arrays(self) -> dict:
        """{name: array} of what was fitted, on the host."""
        return {name: getattr(self, name) for name in self.fitted_names}

    @classmethod
    def from_arrays(cls, settings, arrays) -> Measure:
        """The measure that `describe` and `arrays` told of.

        Args:
            settings: the entry "settings" of `describe`.
            arrays: what `arrays` returned.

        Raises:
            MeasureError: they are not of such a measure.
        """
        try:
            measure = cls(**settings)
        except TypeError as error:
            raise MeasureError(f"{cls.name}: expected the settings {cls.setting_names}, got {settings}") from error
        if sorted(arrays) != sorted(cls.fitted_names):
            raise MeasureError(f"{cls.name}: expected the arrays {cls.fitted_names}, got {tuple(arrays)}")
        vars(measure).update(arrays)
        return measure


class _FunctionMeasure(Measure):
    """A measure that is a function of the logits of one exit."""

    function = None

    def scores(self, exit_index, logits, earlier=()):
        scores = self.function(logits)
        if getattr(scores, "shape", None) != (len(logits),):
            raise MeasureError(
                f"{self.name}: expected scores of shape ({len(logits)},), got {getattr(scores, 'shape', scores)!r}"
            )
        return scores.astype(np.float32)


def register_measure(name, lowest=-math.inf):
    """Registers a measure, as a decorator of a function or of a subclass of `Measure`.

    Args:
        name: what callers ask for it by; a measure of that name that is there already is replaced.
        lowest: lower bound of the scores of a function; a class states its own.

    Raises:
        MeasureError: what is decorated is neither.

    A function takes logits (N, n_classes) float32, NumPy or CuPy, and returns scores (N,) float32.
    """

    def register(target):
        if isinstance(target, type) and issubclass(target, Measure):
            target.name = name
            _REGISTERED[name] = target
        elif callable(target) and not isinstance(target, type):
            members = {"name": name, "lowest": lowest, "function": staticmethod(target), "__doc__": target.__doc__}
            _REGISTERED[name] = type(_FunctionMeasure.__name__, (_FunctionMeasure,), members)
        else:
            raise MeasureError(f"measure {name!r}: expected a function or a subclass of Measure, got {target!r}")
        return target

    return register


def measure_names() -> list:
    """Names of the registered measures, in the order of their registration."""
    return list(_REGISTERED)


def measure_class(name):
    """The class that is registered by a name.

    Raises:
        MeasureError: none is.
    """
    if name not in _REGISTERED:
        raise MeasureError(f"measure: expected a Measure or one of {', '.join(_REGISTERED)}; got {name!r}")
    return _REGISTERED[name]


def as_measure(measure) -> Measure:
    """The measure that a caller means.

    Args:
        measure: a `Measure`, or the name of a registered one, which is then made with its default settings.

    Raises:
        MeasureError: it is neither.
    """
    if isinstance(measure, Measure):
        return measure
    if not isinstance(measure, str):
        raise MeasureError(f"measure: expected a Measure or one of {', '.join(_REGISTERED)}; got {measure!r}")
    return measure_class(measure)()

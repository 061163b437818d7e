"""What a confidence measure is.

A measure gives every sample at every exit a *score*, the lower the surer. A sample leaves exit n if its score is below
T_n (`branchynet.thresholds`). Everything that asks how sure an exit is takes a measure: recording, both inference
paths, the benchmark.
"""

from __future__ import annotations

import numpy as np

from branchynet.errors import MeasureError


class Measure:
    """How sure an exit is of its answer. A subclass says `scores`; all else has a default.

    Attributes:
        name: what it is registered as.
        lowest: lower bound of the scores. A threshold of this value lets no sample leave.
        needs_earlier_exits: whether the score depends on the logits of the exits before. Then the subclass says
            `scores_after`.
        setting_names: arguments of the constructor, which keeps each as an attribute of that name.
        fitted_names: attributes that `fit` sets, arrays whose first axis is the exit.
        positive_names: those of `fitted_names` whose numbers must be above 0.
        fits_on: what `fit` is to be given: "validation", samples held back from training, or "training".
    """

    name = ""
    lowest = 0.0
    needs_earlier_exits = False
    setting_names = ()
    fitted_names = ()
    positive_names = ()
    fits_on = "validation"

    # `scores` of one sample in plain Python, up to rounding: (exit_index, list of n_classes floats) -> float. For ten
    # numbers, array calls cost more than the arithmetic. None where this would be no gain.
    score_of_one = None

    def scores(self, exit_index, logits):
        """How sure an exit is of each sample.

        Args:
            exit_index: 0 for the first exit.
            logits: (N, n_classes) float32 of that exit, NumPy or CuPy; N may be 0.

        Returns:
            (N,) float32 on the same device, the lower the surer.
        """
        raise NotImplementedError

    def scores_after(self, exit_index, logits, earlier):
        """`scores`, where the logits of the exits before are known too. This is what callers call.

        `earlier` is a sequence of arrays like the logits, the first exit first; empty unless `needs_earlier_exits`.
        """
        return self.scores(exit_index, logits)

    def scores_of_exits(self, logits) -> list:
        """The scores of all exits on the same samples: for each exit (N, n_classes) float32 -> for each exit (N,)."""
        return [
            self.scores_after(index, exit_logits, logits[:index] if self.needs_earlier_exits else ())
            for index, exit_logits in enumerate(logits)
        ]

    def refuses(self, exit_index, logits):
        """(N,) bool: which samples the measure takes for something that is none of the network's classes.

        The arguments are those of `scores`. Most measures have no such answer: None.
        """
        return None

    def fit(self, logits_per_exit, labels, seed=0) -> Measure:
        """Learns from recorded logits and returns itself; most measures have nothing to learn. See `FittedMeasure`."""
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
        """The measure that `describe` (its entry "settings") and `arrays` told of.

        Raises:
            MeasureError: they are not of such a measure, or hold NaN, or numbers <= 0 that must be positive.
        """
        try:
            measure = cls(**settings)
        except TypeError as error:
            raise MeasureError(f"{cls.name}: expected the settings {cls.setting_names}, got {settings}") from error
        if sorted(arrays) != sorted(cls.fitted_names):
            raise MeasureError(f"{cls.name}: expected the arrays {cls.fitted_names}, got {tuple(arrays)}")
        for name, array in arrays.items():
            if array.dtype.kind not in "iuf" or array.ndim == 0 or np.isnan(array).any():
                raise MeasureError(f"{cls.name}: {name}: expected numbers for each exit, got {array}")
            if name in cls.positive_names and not (array > 0).all():
                raise MeasureError(f"{cls.name}: {name}: expected numbers > 0, got {array}")
        vars(measure).update(arrays)
        return measure

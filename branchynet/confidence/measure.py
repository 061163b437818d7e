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
        fitted_axes: {name of those: names of its other axes}; axes of one name are of one length, and n_classes is that
            of the logits. A name that is not there is an array of any form.
        positive_names: those of `fitted_names` whose numbers must be above 0.
        infinite_names: those of `fitted_names` whose numbers may be infinite.
        fits_on: what `fit` is to be given: "validation", samples held back from training, or "training".
    """

    name = ""
    lowest = 0.0
    needs_earlier_exits = False
    setting_names = ()
    fitted_names = ()
    fitted_axes = {}
    positive_names = infinite_names = ()
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

    def check_arrays(self) -> dict:
        """Looks at what was fitted.

        Returns:
            {name of an axis, as "n_exits": its length}

        Raises:
            MeasureError: an array is of another form, or holds NaN, infinity or numbers <= 0 where there must be none.
        """
        lengths = {}
        for name in self.fitted_names:
            array, where = getattr(self, name), f"{self.name}: {name}"
            is_real = isinstance(array, np.ndarray) and array.dtype.kind in "iuf" and array.ndim > 0
            is_no_number = np.isnan if name in self.infinite_names else lambda values: ~np.isfinite(values)
            if not is_real or is_no_number(array).any():
                raise MeasureError(f"{where}: expected numbers for each exit, got {array}")
            if name in self.positive_names and not (array > 0).all():
                raise MeasureError(f"{where}: expected numbers > 0, got {array}")
            axes = ("n_exits", *self.fitted_axes.get(name, ()))
            shape = array.shape if name in self.fitted_axes else array.shape[:1]
            expected = ", ".join(str(lengths.get(axis, axis)) for axis in axes)
            if len(shape) != len(axes) or any(lengths.setdefault(axis, n) != n for axis, n in zip(axes, shape)):
                raise MeasureError(f"{where}: expected the shape ({expected}), got {array.shape}")
        return lengths

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
            MeasureError: they are not of such a measure, or as of `check_arrays`.
        """
        try:
            measure = cls(**settings)
        except TypeError as error:
            raise MeasureError(f"{cls.name}: expected the settings {cls.setting_names}, got {settings}") from error
        if sorted(arrays) != sorted(cls.fitted_names):
            raise MeasureError(f"{cls.name}: expected the arrays {cls.fitted_names}, got {tuple(arrays)}")
        vars(measure).update(arrays)
        measure.check_arrays()
        return measure

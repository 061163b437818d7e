"""Measures that learn from recorded logits and labels before they can score."""

from __future__ import annotations

import numpy as np
from chainer.backend import get_device_from_array

from branchynet.confidence.measure import Measure
from branchynet.errors import MeasureError, NotFittedError
from branchynet.gate import check_logits, whole_number
from branchynet.gate import labels as as_labels
from branchynet.machine.devices import to_host


class FittedMeasure(Measure):
    """A measure that is fitted to each exit. A subclass says `fit_exit` and `scores`."""

    def fit_exit(self, logits, labels, rng) -> dict:
        """What is learned from one exit: {name: array or number} for every name in `fitted_names`.

        Args:
            logits: (N, n_classes) float32 of that exit, on the host; N >= 1.
            labels: (N,) integers, the truth.
            rng: NumPy Generator.
        """
        raise NotImplementedError

    def fit(self, logits_per_exit, labels, seed=0) -> FittedMeasure:
        """Fits the measure to every exit, on samples that `fits_on` names, and returns it.

        Args:
            logits_per_exit: for each exit (N, n_classes) float32, as `branchynet.inference.record_logits` returns.
            labels: (N,) integers, the truth.
            seed: of whatever is drawn. The same seed gives the same measure.

        Raises:
            MeasureError: the arrays are of another form, or there is nothing to learn from.
        """
        seed = whole_number(f"{self.name}: seed", seed, MeasureError, 0)
        check_logits(logits_per_exit, MeasureError)
        n_samples, n_classes = logits_per_exit[0].shape
        labels = as_labels(labels, n_samples, n_classes, MeasureError)
        if n_samples == 0:
            raise MeasureError(f"{self.name}: expected logits of N >= 1 samples, got none")
        logits_per_exit = [to_host(logits).astype(np.float32, copy=False) for logits in logits_per_exit]
        learned = [
            self.fit_exit(logits, labels, np.random.default_rng((seed, index)))
            for index, logits in enumerate(logits_per_exit)
        ]
        for name in self.fitted_names:
            setattr(self, name, np.stack([arrays[name] for arrays in learned]))
        vars(self).pop("_on_devices", None)
        self.check_arrays()
        return self

    def check(self, n_exits) -> None:
        """Raises MeasureError unless the measure was fitted to a network of so many exits."""
        n_fitted = self.check_arrays()["n_exits"]
        if n_fitted != n_exits:
            raise MeasureError(f"{self.name}: expected one fitted to {n_exits} exits, got one fitted to {n_fitted}")

    def check_arrays(self) -> dict:
        """As of `Measure`; what it returns is kept."""
        vars(self)["_lengths"] = super().check_arrays()
        return self._lengths

    def check_exit(self, exit_index) -> dict:
        """What `check_arrays` returns; MeasureError unless the measure was fitted to such an exit, 0 for the first."""
        # Looked at once: each time it would take longer than the score of one sample.
        lengths = vars(self).get("_lengths") or self.check_arrays()
        if not exit_index < lengths["n_exits"]:
            raise MeasureError(f"{self.name}: expected an exit from 0 to {lengths['n_exits'] - 1}, got {exit_index}")
        return lengths

    def fitted_at(self, exit_index, logits) -> dict:
        """{name: array} of what was fitted to one exit, 0 for the first, on the device of the logits.

        Raises:
            MeasureError: as of `check_exit`, or it was fitted to logits of other classes.
        """
        n_classes, device = logits.shape[1], get_device_from_array(logits)
        on_devices, key = vars(self).setdefault("_on_devices", {}), (device.name, exit_index, n_classes)
        # Kept, because looking and sending take longer than scoring.
        if key not in on_devices:
            expected = self.check_exit(exit_index).get("n_classes", n_classes)
            if n_classes != expected:
                raise MeasureError(f"{self.name}: expected logits of {expected} classes, got {n_classes}")
            arrays = self.arrays().items()
            on_devices[key] = {name: device.send(array[exit_index, ...]) for name, array in arrays}
        return on_devices[key]

    def __getattr__(self, name):
        """Called for an attribute that is not there, such as one that `fit` would set."""
        if name in type(self).fitted_names:
            raise NotFittedError(
                f"{self.name}: expected a fitted measure; call fit(logits_per_exit, labels) or load a fitted one first"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

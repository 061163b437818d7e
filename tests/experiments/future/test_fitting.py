"""Measures made ready for use: what they are fitted to, and how their settings are chosen."""

import numpy as np
from future import Recorded, best_settings, fit_measures, try_settings
from tiny import tiny_logits

from branchynet.confidence import Measure
from branchynet.confidence.opengan import OpenGan


class Biased(Measure):
    """Scores that are as good as its setting says: 1 for the entropy's order, -1 for the opposite."""

    setting_names = ("sign",)
    fitted_names = ("fitted_to_",)

    def __init__(self, sign=-1):
        self.sign = sign

    def fit(self, logits_per_exit, labels, seed=0):
        self.fitted_to_ = labels
        return self

    def scores(self, exit_index, logits):
        assert exit_index < 2, "the last exit's score decides nothing"
        assert len(logits) + len(self.fitted_to_) == 101, "fitted to one half, judged on the other"
        return -self.sign * logits.max(axis=1)


def test_settings_are_judged_on_samples_that_were_not_fitted_to():
    tried = try_settings(Biased, {"sign": (-1, 1)}, Recorded(*tiny_logits(101)))
    assert [entry["settings"] for entry in tried] == [{"sign": -1}, {"sign": 1}]
    assert tried[0]["auroc"] < 0.5 < tried[1]["auroc"]
    assert best_settings(tried) == {"sign": 1}


def test_where_nothing_can_be_judged_the_first_settings_are_taken():
    always_right = Recorded(9 * np.eye(3, dtype=np.float32)[[[0, 1, 2] * 4]], np.array([0, 1, 2] * 4))
    tried = try_settings(OpenGan, {"n_steps": (1, 2), "batch_size": (2,)}, always_right)
    assert [entry["auroc"] for entry in tried] == [None, None]
    assert best_settings(tried) == {"n_steps": 1, "batch_size": 2}
    assert best_settings([]) == {}


def test_measures_are_fitted_to_the_samples_that_they_are_meant_for():
    validation, training = Recorded(*tiny_logits(80)), Recorded(*tiny_logits(120, seed=1))
    names = ["entropy", "calibrated-entropy", "openmax"]
    fitted = fit_measures(names, validation, training, {"openmax": {"eta": (5, 9)}})
    assert [fitted[name].n_samples for name in names] == [0, 80, 120]
    assert len(fitted["openmax"].tried) == 2
    assert fitted["openmax"].measure.eta == best_settings(fitted["openmax"].tried)["eta"]

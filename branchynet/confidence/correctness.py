"""A small network for each exit that says whether the exit is right."""

from __future__ import annotations

import math

import chainer.functions as F
import numpy as np

from branchynet.confidence.fitted import FittedMeasure
from branchynet.confidence.logits import sorted_softmax
from branchynet.confidence.measure import register_measure
from branchynet.confidence.perceptron import (
    ARRAY_NAMES,
    Perceptron,
    adam,
    check_settings,
    no_probability,
    no_probability_of_one,
    train_steps,
)


@register_measure("correctness-net")
class CorrectnessNet(FittedMeasure):
    """1 - the probability that the exit is right, as a perceptron on the sorted softmax output sees it; in [0, 1].

    The paper's suggestion (section V: confidence could be learned). The probabilities are sorted because being sure
    is the same for every class, which leaves little to learn from the few samples that an exit gets wrong. Fit on
    validation samples: on those of training an exit is surer than it should be.

    Args:
        n_hidden: hidden units.
        n_steps: training steps of each exit's perceptron.
        batch_size: samples a step, drawn with replacement.
        alpha: Adam's learning rate.

    Attributes:
        hidden_W_, hidden_b_, output_W_, output_b_: the perceptrons, float32, exits along the first axis.
    """

    setting_names = ("n_hidden", "n_steps", "batch_size", "alpha")
    fitted_names = ARRAY_NAMES

    def __init__(self, n_hidden=16, n_steps=1000, batch_size=256, alpha=1e-2):
        self.n_hidden, self.n_steps, self.batch_size, self.alpha = n_hidden, n_steps, batch_size, alpha
        check_settings(self, ("n_hidden", "n_steps", "batch_size"))

    def fit_exit(self, logits, labels, rng):
        """Trains the perceptron of an exit on the cross-entropy of "the exit is right"."""
        x, right = sorted_softmax(logits), (logits.argmax(axis=1) == labels).astype(np.int32)
        net = Perceptron(x.shape[1], self.n_hidden, 1, rng)

        def losses_of_step():
            rows = rng.integers(0, len(x), min(self.batch_size, len(x)))
            yield F.sigmoid_cross_entropy(net(x[rows])[:, 0], right[rows])

        train_steps(losses_of_step, [adam(net, self.alpha)], self.n_steps)
        return net.arrays()

    def scores(self, exit_index, logits, earlier=()):
        """1 - the predicted probability of being right, (N,)."""
        arrays = self.fitted_at(exit_index, logits)
        return no_probability(sorted_softmax(logits), *[arrays[name] for name in ARRAY_NAMES])

    def score_of_one(self, exit_index, logits, earlier=()) -> float:
        """1 - the predicted probability of being right, of one sample."""
        largest = max(logits)
        exponentials = sorted([math.exp(z - largest) for z in logits])
        x = np.array(exponentials, np.float32) / np.float32(sum(exponentials))
        return no_probability_of_one(x, *[getattr(self, name)[exit_index] for name in ARRAY_NAMES])

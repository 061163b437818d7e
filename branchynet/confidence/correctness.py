"""A small network for each exit that says whether the exit is right."""

import chainer.functions as F
import numpy as np

from branchynet.confidence import perceptron
from branchynet.confidence.fitted import FittedMeasure
from branchynet.confidence.logits import sorted_softmax


class CorrectnessNet(FittedMeasure):
    """1 - the probability that the exit is right, as a perceptron on the sorted softmax output sees it; in [0, 1].

    The paper suggests that confidence could be learned (section V). The probabilities are sorted because being sure is
    the same for every class, which leaves little to learn from the few samples that an exit gets wrong. Fit on
    validation samples: on those of training an exit is surer than it should be.

    Args:
        n_hidden: number of hidden units.
        n_steps: number of training steps for each exit.
        batch_size: samples in a step, drawn with replacement.
        alpha: Adam's learning rate.

    Attributes:
        hidden_W_, hidden_b_, output_W_, output_b_: the perceptrons, float32, the exit along the first axis.
    """

    name = "correctness-net"
    setting_names = ("n_hidden", "n_steps", "batch_size", "alpha")
    fitted_names, fitted_axes = perceptron.ARRAY_NAMES, perceptron.ARRAY_AXES

    def __init__(self, n_hidden=16, n_steps=1000, batch_size=256, alpha=1e-2):
        self.n_hidden, self.n_steps, self.batch_size, self.alpha = n_hidden, n_steps, batch_size, alpha
        perceptron.check_settings(self, ("n_hidden", "n_steps", "batch_size"))

    def fit_exit(self, logits, labels, rng):
        """Trains the perceptron of an exit on the cross-entropy of "the exit is right"."""
        x, right = sorted_softmax(logits), (logits.argmax(axis=1) == labels).astype(np.int32)
        net = perceptron.Perceptron(x.shape[1], self.n_hidden, 1, rng)

        def losses_of_step():
            rows = rng.integers(0, len(x), min(self.batch_size, len(x)))
            yield F.sigmoid_cross_entropy(net(x[rows])[:, 0], right[rows])

        perceptron.train_steps(losses_of_step, [perceptron.adam(net, self.alpha)], self.n_steps)
        return net.arrays()

    def scores(self, exit_index, logits):
        """1 - the predicted probability of being right, (N,)."""
        arrays = self.fitted_at(exit_index, logits)
        return perceptron.no_probability(sorted_softmax(logits), *[arrays[name] for name in self.fitted_names])

"""A discriminator for each exit that tells the logits of right answers from all others."""

import functools

import chainer.functions as F
import numpy as np

from branchynet.confidence import perceptron
from branchynet.confidence.fitted import FittedMeasure
from branchynet.confidence.ranking import auroc
from branchynet.errors import MeasureError

# How often the discriminator is looked at while it is trained.
N_LOOKS = 20
# Standardised logits are clipped to this many standard deviations, so that no number is too large.
FARTHEST = 10.0


class OpenGan(FittedMeasure):
    """``1 - D(z)``, D a discriminator of an exit's logits, trained against a generator; in [0, 1].

    After OpenGAN (Kong and Ramanan 2021, arXiv 2104.02939). D learns that features of the closed set are real; that
    those of outliers are not; and that neither are those that a generator G makes of noise to look real::

        max_D min_G  mean log D(closed) + w mean log(1 - D(outliers)) + mean log(1 - D(G(noise)))

    Here the closed set are the samples that the exit answers right, and the outliers those that it answers wrong. Two
    things differ from OpenGAN. The features are the logits, which every engine returns, standardised class by class and
    clipped at `FARTHEST`. And G maximises log D instead (the usual non-saturating form). As there, D and G need not
    settle: of `N_LOOKS` discriminators on the way, the one is kept that best tells the closed set from the outliers.
    Fit on validation samples.

    Args:
        n_hidden: number of hidden units of both networks.
        n_noise: numbers of noise that the generator makes a fake of.
        n_steps: number of training steps for each exit.
        batch_size: samples of each kind in a step, drawn with replacement.
        alpha: Adam's learning rate.
        outlier_weight: w; at 0 only fakes stand against the closed set.

    Attributes:
        mean_, deviation_: (n_exits, n_classes) float32, of the logits.
        hidden_W_, hidden_b_, output_W_, output_b_: the discriminators, float32, the exit along the first axis.
    """

    name = "opengan"
    setting_names = ("n_hidden", "n_noise", "n_steps", "batch_size", "alpha", "outlier_weight")
    fitted_names = ("mean_", "deviation_", *perceptron.ARRAY_NAMES)
    fitted_axes = {"mean_": ("n_classes",), "deviation_": ("n_classes",), **perceptron.ARRAY_AXES}
    positive_names = ("deviation_",)

    def __init__(self, n_hidden=64, n_noise=8, n_steps=1000, batch_size=128, alpha=5e-3, outlier_weight=1.0):
        self.n_hidden, self.n_noise, self.n_steps = n_hidden, n_noise, n_steps
        self.batch_size, self.alpha, self.outlier_weight = batch_size, alpha, outlier_weight
        perceptron.check_settings(self, ("n_hidden", "n_noise", "n_steps", "batch_size"))

    def fit_exit(self, logits, labels, rng):
        """Trains the discriminator of an exit, and the generator, which is then forgotten.

        Raises:
            MeasureError: the exit answers no sample right.
        """
        mean, deviation = logits.mean(axis=0), logits.std(axis=0) + np.float32(1e-6)
        x, right = _standardise(logits, mean, deviation), logits.argmax(axis=1) == labels
        if not right.any():
            raise MeasureError(f"{self.name}: expected an exit that is right on some samples, got one that is not")
        discriminator = perceptron.Perceptron(x.shape[1], self.n_hidden, 1, rng)
        generator = perceptron.Perceptron(self.n_noise, self.n_hidden, x.shape[1], rng)
        optimizers = [perceptron.adam(discriminator, self.alpha), perceptron.adam(generator, self.alpha)]
        losses_of_step = functools.partial(self._losses, discriminator, generator, x[right], x[~right], rng)
        best, highest = None, -1.0
        for n_steps in _in_parts(self.n_steps, N_LOOKS):
            perceptron.train_steps(losses_of_step, optimizers, n_steps)
            arrays = discriminator.arrays()
            share_in_order = auroc(perceptron.no_probability(x, *arrays.values()), right)
            # An exit that is always right has no outliers to tell apart: the last look stays.
            if share_in_order is None or share_in_order >= highest:
                best, highest = arrays, share_in_order or 0.0
        return {"mean_": mean, "deviation_": deviation, **best}

    def _losses(self, discriminator, generator, closed, outliers, rng):
        """Of one step the loss of the discriminator, then that of the generator."""
        fakes = generator(rng.normal(size=(self.batch_size, self.n_noise)).astype(np.float32))
        # All parts in one pass: for a network this small the calls take longer than the arithmetic.
        parts, weights = [self._draw(closed, rng), fakes.array], [1.0, 1.0]
        if self.outlier_weight and len(outliers):
            parts.append(self._draw(outliers, rng))
            weights.append(self.outlier_weight)
        weights = np.repeat(weights, self.batch_size) / self.batch_size
        yield _surprise(discriminator, np.concatenate(parts), np.arange(len(weights)) < self.batch_size, weights)
        yield _surprise(discriminator, fakes, np.full(self.batch_size, True), weights[: self.batch_size])

    def _draw(self, x, rng):
        return x[rng.integers(0, len(x), self.batch_size)]

    def scores(self, exit_index, logits):
        """1 - D, (N,)."""
        arrays = self.fitted_at(exit_index, logits)
        x = _standardise(logits, arrays["mean_"], arrays["deviation_"])
        return perceptron.no_probability(x, *[arrays[name] for name in perceptron.ARRAY_NAMES])


def _in_parts(n_steps, n_parts):
    """Numbers that add up to n_steps, at most n_parts of them."""
    ends = np.unique(np.linspace(0, n_steps, n_parts + 1).round().astype(int))
    return np.diff(ends).tolist()


def _standardise(logits, mean, deviation):
    return ((logits - mean) / deviation).clip(-FARTHEST, FARTHEST)


def _surprise(discriminator, x, real, weights):
    """Sum of weight * -log D(x) over the rows that are real, and weight * -log(1 - D(x)) over the others, a Variable; x
    is (n, n_in) float32 or a Variable, real (n,) bool, and weights (n,) float."""
    signs = np.where(real, np.float32(-1), np.float32(1))
    return F.sum(F.softplus(discriminator(x)[:, 0] * signs) * weights.astype(np.float32))

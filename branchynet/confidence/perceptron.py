"""The small network behind the measures that are networks: trained in Chainer, used as plain arrays."""

import math

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer.backend import get_array_module

from branchynet.errors import MeasureError
from branchynet.gate import is_real, shown, whole_number

# What an exit's perceptron with one output leaves behind, in the order of `no_probability`.
ARRAY_NAMES = ("hidden_W_", "hidden_b_", "output_W_", "output_b_")
_AXES = (("n_classes", "n_hidden"), ("n_hidden",), ("n_hidden",), ())
ARRAY_AXES = dict(zip(ARRAY_NAMES, _AXES))


class Perceptron(chainer.Chain):
    """One hidden layer of rectified units.

    Args:
        n_in, n_hidden, n_out: numbers of inputs, hidden units and outputs.
        rng: NumPy Generator that draws the weights, LeCun's normal distribution. Chainer's own initialisers would draw
            from the global generator and change what follows.
    """

    def __init__(self, n_in, n_hidden, n_out, rng):
        super().__init__()
        with self.init_scope():
            self.hidden = L.Linear(n_in, n_hidden, initialW=_draw(rng, n_hidden, n_in))
            self.output = L.Linear(n_hidden, n_out, initialW=_draw(rng, n_out, n_hidden))

    def forward(self, x):
        """x (N, n_in) float32 -> (N, n_out), a Variable."""
        return self.output(F.relu(self.hidden(x)))

    def arrays(self) -> dict:
        """Weights of a perceptron with one output, by the names of `ARRAY_NAMES`."""
        arrays = (self.hidden.W.array.T, self.hidden.b.array, self.output.W.array[0], self.output.b.array[0])
        return {name: array.copy() for name, array in zip(ARRAY_NAMES, arrays)}


def _draw(rng, n_out, n_in):
    return (rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)).astype(np.float32)


def check_settings(measure, counts) -> None:
    """Raises MeasureError unless the settings named in `counts` are whole numbers >= 1, and alpha is a number > 0."""
    for name in counts:
        whole_number(f"{measure.name}: {name}", getattr(measure, name), MeasureError)
    if not is_real(measure.alpha) or not 0 < measure.alpha < math.inf:
        raise MeasureError(f"{measure.name}: alpha: expected a number > 0, got {shown(measure.alpha)}")


def no_probability(x, hidden_W, hidden_b, output_W, output_b):
    """1 - sigmoid of the output of a perceptron with one output, (N,) float32 in [0, 1], small ones not rounded to 0.

    Args:
        x: (N, n_in) float32, NumPy or CuPy.
        hidden_W, hidden_b, output_W, output_b: (n_in, n_hidden), (n_hidden,), (n_hidden,) and () float32.
    """
    xp = get_array_module(x)
    hidden = xp.maximum(x @ hidden_W + hidden_b, 0)
    return xp.exp(-xp.logaddexp(xp.float32(0), hidden @ output_W + output_b))


def train_steps(losses_of_step, optimizers, n_steps) -> None:
    """Trains networks, each on a loss of its own.

    Args:
        losses_of_step: () -> for each optimizer in turn the loss of its network, a Variable.
        optimizers: one for each network, set up.
        n_steps: number of steps.
    """
    using = chainer.using_config
    # Type checks take a third of a step.
    with using("train", True), using("enable_backprop", True), using("type_check", False):
        for _ in range(n_steps):
            for optimizer, loss in zip(optimizers, losses_of_step()):
                optimizer.target.cleargrads()
                loss.backward()
                optimizer.update()


def adam(link, alpha):
    """An Adam optimizer (arXiv 1412.6980) for a small network; beta1 is 0.5, as is usual where two networks compete."""
    return chainer.optimizers.Adam(alpha=alpha, beta1=0.5).setup(link)

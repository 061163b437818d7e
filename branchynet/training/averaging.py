"""Averages of the weights over the steps of a training: less noise in what is evaluated, at no cost at inference."""

import contextlib

from branchynet.machine.workers import statistics_of

# The first steps count less than the decay says, or the first weights would stay in the average for long
# (as TensorFlow's ExponentialMovingAverage does it).
_WARM_UP_STEPS = 10


class WeightAverage:
    """An exponential moving average of all parameters of some links, and of the running statistics of their batch
    normalisation (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992; used as in arXiv 1703.01780).

    Args:
        targets: {name: chainer link}, initialised; no parameter stands in two of them.
        decay: what a step leaves of the average, in (0, 1); 0.999 averages over about 1,000 steps.
    """

    def __init__(self, targets, decay):
        self._targets, self._decay = targets, decay
        self._averages = {name: array.copy() for name, array in self._arrays().items()}

    def _arrays(self):
        """{name: array} of what is averaged, as the links have it now."""
        found = {}
        for target, link in self._targets.items():
            arrays = {**{name: param.array for name, param in link.namedparams()}, **statistics_of(link)}
            found.update((f"{target}{name}", array) for name, array in arrays.items())
        return found

    def update(self, iteration):
        """Takes in the weights after a step, 0 for the first one."""
        decay = min(self._decay, (1 + iteration) / (_WARM_UP_STEPS + iteration))
        for name, array in self._arrays().items():
            average = self._averages[name]
            average += (1 - decay) * (array - average)

    def exchange(self):
        """The links get the average, and the average gets their weights; once more, and all is as it was."""
        for name, array in self._arrays().items():
            held = array.copy()
            array[...] = self._averages[name]
            self._averages[name][...] = held

    @contextlib.contextmanager
    def exchanged(self):
        """The links have the average while the block runs."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def serialize(self, serializer):
        """Saves or loads the average, as Chainer's links do it."""
        for name, average in self._averages.items():
            loaded = serializer(name.replace("/", "."), average)
            if loaded is not average:
                average[...] = loaded

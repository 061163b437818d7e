"""Time that passes only where a test says so: what is measured is then known exactly."""

import chainer


class FakeClock(chainer.FunctionHook):
    """Stands still, but for what is spent; as a hook, every function that Chainer computes takes 1 ms."""

    name = "FakeClock"

    def __init__(self):
        self.ms = 0.0

    def now_ms(self):
        """As of `branchynet.bench.timing.Clock`."""
        return self.ms

    def forward_postprocess(self, function, in_data):
        """Called by Chainer."""
        self.ms += 1

    def spending(self, ms, answer=lambda sample: sample):
        """A function of a sample that takes so long."""

        def spend(sample):
            self.ms += ms
            return answer(sample)

        return spend


class Slow:
    """A compiled network of which every call takes `ms` of a `FakeClock`."""

    def __init__(self, compiled, clock, ms):
        self._compiled, self._clock, self._ms = compiled, clock, ms

    def __getattr__(self, name):
        return getattr(self._compiled, name)

    def run(self, x, thresholds):
        """As of `CompiledNet`."""
        self._clock.ms += self._ms
        return self._compiled.run(x, thresholds)

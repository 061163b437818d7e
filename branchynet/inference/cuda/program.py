"""A plan as a sequence of stages: which kernel reads which numbers of a sample and writes which others."""

from __future__ import annotations

import math

from branchynet.inference.cuda.builders import BUILDERS
from branchynet.inference.cuda.sharing import VECTOR
from branchynet.inference.cuda.stages import BLOCK, LONE_BLOCK, TEAMS, Numbers, Segment, Stage
from branchynet.inference.native.images import rounded_up
from branchynet.inference.native.program import CProgram


class Program(CProgram):
    """The stages of a plan.

    Args:
        plan: `branchynet.inference.plan.Plan`.

    Attributes:
        segments: list of `Segment`, one for each exit.
        functions: {C function: its text}.
        weights: (n,) float32, all packed weights.
        source: `Numbers` that a sample is copied to.
        n_floats: of one sample's numbers.
        n_partial: {name of a team: floats that a block needs for sums of which each warp has a part}.
        plan: as given.

    Raises:
        CompileError: an operation, or a sample of a shape, that the kernels do not know.
    """

    engine, builders, step, slack = "cuda", BUILDERS, VECTOR, VECTOR

    def __init__(self, plan):
        super().__init__(plan)
        self._live, self._kept, self.n_floats = {}, set(), 0
        self.n_partial = {team.name: 0 for team in TEAMS}
        self.source = features = self.new(self.sample_shape())
        for segment in plan.segments:
            self._stages = []
            features = self.sequence(segment.trunk, features)
            logits = self.sequence(segment.head, features, keep=True)
            # Logits stay where they are: threads may still read them while others go on.
            self._kept.add(logits.at)
            self.segments.append(Segment(tuple(self._stages), logits))

    def sequence(self, operations, numbers, keep=False):
        """Adds the stages of a sequence of operations; the `Numbers` that it ends in. `keep`: what it begins with is
        read again later."""
        start = numbers
        for operation, relu in self.fused(operations):
            is_kept = numbers.at in self._kept or (keep and numbers is start)
            result = BUILDERS[type(operation)](self, operation, relu, numbers, is_kept)
            if not is_kept and result is not numbers:
                self.forget(numbers)
            numbers = result
        return numbers

    def forget(self, numbers):
        """Nobody reads them any more: their room is free."""
        del self._live[numbers.at]

    def new(self, shape):
        """Room for an image: the first gap between those that are still read."""
        size, at = rounded_up(math.prod(shape), VECTOR), 0
        for start, n_floats in sorted(self._live.items()):
            if start - at >= size:
                break
            at = start + n_floats
        self._live[at] = size
        self.n_floats = max(self.n_floats, at + size)
        return Numbers(at, tuple(shape))

    def add(self, name, comment, calls, source, target, weights=0, shortcut=None):
        """Adds a stage.

        Args:
            name, comment: of its C function.
            calls: {`Team`: text of the kernel's call}, or the text where it is the same for all.
        """
        calls = calls if isinstance(calls, dict) else dict.fromkeys(TEAMS, calls)
        parameters = "const float *in, const float *shortcut, const float *weights, float *out, struct team team"
        functions = {}
        for team, call in calls.items():
            # What a block computes is inlined: the compiler sees then that its numbers lie in shared memory.
            kind = "INLINE" if team in (BLOCK, LONE_BLOCK) else "STAGE"
            text = f"({parameters})\n{{\n    {call};\n}}"
            functions[team.name] = self.function(kind, f"{team.name}_{name}", text, comment)
        self._stages.append(Stage(functions, source.at, weights, target.at, shortcut))

"""A plan as a sequence of calls of the kernels: which image goes through which kernel into which other.

What an operation adds is a stage (`stages`): a C function whose name says what it computes, used again where the same
shapes come again.
"""

import dataclasses

import numpy as np

from branchynet.errors import CompileError
from branchynet.inference import operations as ops
from branchynet.inference.native import images
from branchynet.inference.native.builders import BUILDERS
from branchynet.inference.native.images import Image
from branchynet.inference.native.stages import Stage
from branchynet.machine import winograd


@dataclasses.dataclass(frozen=True)
class Segment:
    """Lines of C: the trunk piece up to an exit, the head behind it, and where its logits lie."""

    trunk: tuple
    head: tuple
    logits: str


class CProgram:
    """What a plan's program in C is made of, for the CPU or a GPU. A subclass says:

    engine: its name, for errors.
    builders: {operation: what adds its stage}.
    step: packed weights begin at a multiple of so many floats.
    slack: zeros behind the last of them.
    """

    def __init__(self, plan):
        self.plan, self.functions, self.segments = plan, {}, []
        self._names, self._packed = {}, []

    @property
    def weights(self) -> np.ndarray:
        """(n,) float32: all packed weights, one behind the other."""
        return np.concatenate([*self._packed, np.zeros(self.slack, np.float32)])

    def pack(self, packed) -> int:
        """Keeps packed weights; where they begin, in floats."""
        start, n_floats = sum(map(len, self._packed)), images.rounded_up(len(packed), self.step)
        self._packed.append(np.pad(packed.astype(np.float32), (0, n_floats - len(packed))))
        return start

    def function(self, kind, name, text, comment) -> str:
        """The name of a stage's function, of a kind: that of one with the same text, if there is one."""
        if (kind, text) not in self._names:
            unique, number = name, 2
            while unique in self.functions:
                unique, number = f"{name}_{number}", number + 1
            self._names[kind, text] = unique
            self.functions[unique] = f"/* {comment} */\n{kind} void {unique}{text}"
        return self._names[kind, text]

    def fused(self, operations) -> list:
        """The pairs of `fuse_relu`, of as many ReLUs as can be; CompileError for an operation without a builder."""
        pairs = ops.fuse_relu(ops.exchange(operations, ops.MaxPooling, ops.Relu))
        for operation, _ in pairs:
            if type(operation) not in self.builders:
                raise CompileError(f"the {self.engine} engine cannot compute {type(operation).__name__}")
        return pairs

    def sample_shape(self) -> tuple:
        """(C, H, W) of a sample; (K, 1, 1) of a vector."""
        shape = tuple(self.plan.in_shape)
        if len(shape) not in (1, 3):
            raise CompileError(f"the {self.engine} engine takes samples (C, H, W) or (K,), got {shape}")
        return shape if len(shape) == 3 else (*shape, 1, 1)


class Program(CProgram):
    """The calls of a plan.

    Args:
        plan: `branchynet.inference.plan.Plan`.
        tiles: whether convolutions are computed by tiles where that is faster: their weights take up to seven times the
            room then.

    Attributes:
        segments: list of `Segment`, one for each exit.
        functions: {C function: its text}, the stages.
        buffers: {name: floats}, the workspace; whole cache lines.
        weights: (n,) float32, all packed weights, each from the beginning of a cache line on.
        source: `Image` that a sample is copied into, in the order of the plan's input.

    Raises:
        CompileError: an operation, or a sample of a shape, that the kernels do not know.
    """

    engine, builders, step, slack = "native", BUILDERS, images.SMALL_GROUP, images.SLACK

    def __init__(self, plan, tiles=True):
        super().__init__(plan)
        self.tiles, self.buffers = tiles, {}
        self.planar = self._planar_is_less_work()
        shape = self.sample_shape()
        form = Image.interleaved if shape[1:] == (1, 1) else Image.planes
        self.source = self.new(form("sample", shape))
        features = self.source
        for index, segment in enumerate(plan.segments):
            following = plan.segments[index + 1].trunk if index + 1 < plan.n_exits else ()
            readers = [*segment.head[:1], *following[:1]]
            trunk, features = self.sequence(segment.trunk, features, f"trunk_{index + 1}", readers)
            head, logits = self.sequence(segment.head, features, f"head_{index + 1}", [])
            self.segments.append(Segment(tuple(trunk), tuple(head), logits.at()))

    def sequence(self, operations, image, where, readers):
        """The calls of a sequence of operations, and the `Image` that they end in.

        Args:
            operations: of `branchynet.inference.operations`.
            image: `Image` that they start from.
            where: names the images on the way.
            readers: operations that will read the result.
        """
        calls = []
        fused = self.fused(operations)
        for number, (operation, relu) in enumerate(fused, start=1):
            next_readers = [fused[number][0]] if number < len(fused) else readers
            stage = Stage(self, calls, operation, relu, f"{where}_{number}", next_readers)
            image = BUILDERS[type(operation)](stage, image)
        return calls, image

    def new(self, image) -> Image:
        """Gives an image its buffer."""
        self.reserve(image.name, image.size)
        return image

    def reserve(self, name, n_floats) -> None:
        """Adds floats to a buffer, whole cache lines of them."""
        self.buffers[name] = images.rounded_up(self.buffers.get(name, 0) + n_floats, images.SMALL_GROUP)

    def tiling(self, operation, out_shape):
        """`branchynet.machine.winograd.best_tiling` of a convolution, whose result has that shape."""
        if not self.tiles:
            return None, 1.0
        return winograd.best_tiling(operation.W.shape, operation.stride, out_shape[1:])

    def _planar_is_less_work(self):
        """Whether vectors along rows compute less for nothing than vectors across channels, over all convolutions."""
        work = {True: 0.0, False: 0.0}

        def count(operations, shape):
            for operation in operations:
                if isinstance(operation, ops.Residual):
                    count(operation.body, shape)
                if isinstance(operation, ops.Convolution):
                    out_shape, inputs = operation.out_shape(shape), operation.W[0].size
                    n_outputs, out_h, out_w = out_shape
                    _, share = self.tiling(operation, out_shape)
                    work[False] += share * images.rounded_up(n_outputs, images.SMALL_GROUP) * inputs * out_h * out_w
                    row = max(out_w, shape[2] + operation.pad[1])
                    # Another stride is computed number by number.
                    work[True] += n_outputs * inputs * out_h * (row if operation.stride == (1, 1) else 16 * out_w)
                shape = operation.out_shape(shape)
            return shape

        for segment in self.plan.segments:
            count(segment.head, count(segment.trunk, segment.in_shape))
        return work[True] < work[False]

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


class Program:
    """The calls of a plan.

    Args:
        plan: `branchynet.inference.plan.Plan`.
        tiles: whether convolutions are computed by tiles where that is faster: their weights take up to seven times the
            room then.

    Attributes:
        segments: list of `Segment`, one for each exit.
        functions: {C function: its text}, the stages.
        buffers: {name: floats}, the workspace; whole cache lines.
        weights: (n,) float32, all packed weights.
        source: `Image` that a sample is copied into, in the order of the plan's input.

    Raises:
        CompileError: an operation, or a sample of a shape, that the kernels do not know.
    """

    def __init__(self, plan, tiles=True):
        self.plan, self.tiles = plan, tiles
        self.planar = self._planar_is_less_work()
        self.functions, self.buffers, self._packed, self._n_weights = {}, {}, [], 0
        self._names = {}
        self.segments = []
        shape = _as_image(plan.in_shape)
        self.source = self.new(_vector("sample", shape[0]) if _is_vector(shape) else Image.planes("sample", shape))
        features = self.source
        for index, segment in enumerate(plan.segments):
            following = plan.segments[index + 1].trunk if index + 1 < plan.n_exits else ()
            readers = [*segment.head[:1], *following[:1]]
            trunk, features = self.sequence(segment.trunk, features, f"trunk_{index + 1}", readers)
            head, logits = self.sequence(segment.head, features, f"head_{index + 1}", [])
            self.segments.append(Segment(tuple(trunk), tuple(head), logits.at()))

    @property
    def weights(self) -> np.ndarray:
        """(n,) float32: all packed weights, one behind the other, each from the beginning of a cache line on."""
        return np.concatenate([*self._packed, np.zeros(images.SLACK, np.float32)])

    def sequence(self, operations, image, where, readers):
        """The calls of a sequence of operations, and the `Image` that they end in.

        Args:
            operations: of `branchynet.inference.operations`.
            image: `Image` that they start from.
            where: names the images on the way.
            readers: operations that will read the result.
        """
        calls = []
        fused = ops.fuse_relu(ops.exchange(operations, ops.MaxPooling, ops.Relu))
        for number, (operation, relu) in enumerate(fused, start=1):
            if type(operation) not in BUILDERS:
                raise CompileError(f"the native engine cannot compute {type(operation).__name__}")
            next_readers = [fused[number][0]] if number < len(fused) else readers
            image = BUILDERS[type(operation)](
                Stage(self, calls, operation, relu, f"{where}_{number}", next_readers), image
            )
        return calls, image

    def new(self, image) -> Image:
        """Gives an image its buffer."""
        self.reserve(image.name, image.size)
        return image

    def reserve(self, name, n_floats) -> None:
        """Adds floats to a buffer, whole cache lines of them."""
        self.buffers[name] = images.rounded_up(self.buffers.get(name, 0) + n_floats, images.SMALL_GROUP)

    def result(self, name, shape, readers) -> Image:
        """A new image for what an operation computes, padded as the operations that read it want it."""
        pads = [pad for pad in map(_pad_wanted, readers) if pad is not None]
        if _is_vector(shape) and not pads:
            return self.new(_vector(name, shape[0]))
        if self.planar:
            # One reader's padding only: another one's would make the runs longer.
            return self.new(Image.planes(name, shape, pads[0] if pads else (0, 0)))
        pad = tuple(max((pad[axis] for pad in pads), default=0) for axis in (0, 1))
        return self.new(Image.interleaved(name, shape, pad))

    def tiling(self, operation, out_shape):
        """`branchynet.machine.winograd.best_tiling` of a convolution, whose result has that shape."""
        if not self.tiles:
            return None, 1.0
        return winograd.best_tiling(operation.W.shape, operation.stride, out_shape[1:])

    def pack(self, packed) -> str:
        """Keeps packed weights; C: their address."""
        start, n_floats = self._n_weights, images.rounded_up(len(packed), images.SMALL_GROUP)
        self._packed.append(np.pad(packed.astype(np.float32), (0, n_floats - len(packed))))
        self._n_weights += n_floats
        return f"weights + {start}"

    def function(self, name, text, comment) -> str:
        """The name of a stage's function: that of one with the same text, if there is one."""
        if text not in self._names:
            taken, number, unique = set(self._names.values()), 2, name
            while unique in taken:
                unique, number = f"{name}_{number}", number + 1
            self._names[text] = unique
            self.functions[unique] = f"/* {comment} */\nSTAGE void {unique}{text}"
        return self._names[text]

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


def _as_image(shape):
    if len(shape) == 3:
        return tuple(shape)
    if len(shape) == 1:
        return (shape[0], 1, 1)
    raise CompileError(f"the native engine takes samples (C, H, W) or (K,), got {tuple(shape)}")


def _is_vector(shape):
    return tuple(shape[1:]) == (1, 1)


def _vector(name, n):
    return Image.interleaved(name, (n, 1, 1))


def _pad_wanted(reader):
    """The zeros that an operation wants around its input; None if it asks for none."""
    if isinstance(reader, ops.Residual):
        return _pad_wanted(reader.body[0])
    return reader.pad if isinstance(reader, ops.Convolution) else None

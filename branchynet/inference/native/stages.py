"""A stage: a call of a kernel in a C function of its own, from one image into another."""

import dataclasses
import typing

import numpy as np

from branchynet.inference import operations as ops
from branchynet.inference.native import images
from branchynet.inference.native.images import Image

_PARAMETERS = {"in": "const float *in", "weights": "const float *weights", "out": "float *out", "extra": "float *extra"}


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the builder of an operation is given."""

    program: typing.Any  # `branchynet.inference.native.program.Program`
    calls: list  # of lines of C, which is added to
    operation: typing.Any  # of `branchynet.inference.operations`
    relu: bool  # whether a ReLU follows
    name: str  # of the image that it makes
    readers: list  # operations that read the result

    def result(self, shape) -> Image:
        """A new image for what the operation computes, padded as the operations that read it want it."""
        pads = [pad for pad in map(_pad_wanted, self.readers) if pad is not None]
        if self.program.planar and (pads or shape[1:] != (1, 1)):
            # One reader's padding only: another one's would make the runs longer.
            return self.program.new(Image.planes(self.name, shape, pads[0] if pads else (0, 0)))
        pad = tuple(max((pad[axis] for pad in pads), default=0) for axis in (0, 1))
        return self.program.new(Image.interleaved(self.name, shape, pad))

    def scratch(self, n) -> str:
        """A buffer of n floats beside the image of the result; C: its address."""
        self.program.reserve(f"{self.name}_extra", n + images.SLACK)
        return f"work->{self.name}_extra"

    def add(self, what, kernel, sizes, source, target, relu=None, weights=None, pad=(0, 0), extra=None) -> Image:
        """Adds a call of the stage's function, whose name and comment say what it computes, with shapes.

        Args:
            what: what it computes; the name is made of the words before the first comma.
            kernel: in kernels.h.
            sizes: its constants, behind the addresses.
            source, target: the images that it reads and writes.
            relu: whether negative results become 0, the last constant; None for a kernel that is not told.
            weights: (n,) float32, packed; empty for none; None for a kernel without weights.
            pad: rows above and columns to the left of the source that the kernel begins with.
            extra: C: the address of a buffer of its own; None for a kernel without.

        Returns:
            the target.
        """
        arguments = {"in": source.at(-pad[0], -pad[1])}
        if weights is not None:
            arguments["weights"] = f"weights + {self.program.pack(weights)}" if len(weights) else "0"
        arguments["out"] = target.at()
        if extra is not None:
            arguments["extra"] = extra
        given = {key: value for key, value in arguments.items() if value != "0"}
        sizes = sizes if relu is None else (*sizes, int(relu))
        constants = ", ".join([*(key if key in given else "0" for key in arguments), *map(str, sizes)])
        text = f"({', '.join(_PARAMETERS[key] for key in given)})\n{{\n    {kernel}({constants});\n}}"
        name = f"{what.split(',')[0].replace(' ', '_')}_{words(source.shape)}_to_{words(target.shape)}"
        comment = f"{what}: {words(source.shape)} -> {words(target.shape)}{', ReLU' if relu else ''}"
        function = self.program.function("STAGE", name, text, comment)
        self.calls.append(f"{function}({', '.join(given.values())});")
        return target

    def copy(self, what, source, target, relu=False, weights=()) -> Image:
        """Adds a copy into an image of the same shape in any form; times a scale and plus a shift for each channel,
        where weights, (2 C,) float32, say so."""
        sizes = (*source.shape, *distances(source), *distances(target))
        return self.add(what, "copy_scaled", sizes, source, target, relu, weights)

    def copied(self, image, target) -> Image:
        """The image in another place, with the padding that is wanted there."""
        return self.copy("copy", image, self.program.new(target))

    def interleaved(self, image) -> Image:
        """The image as operations of an interleaved program read it: only a sample is not."""
        return self.copied(image, Image.interleaved(f"{self.name}_in", image.shape)) if image.planar else image


def _pad_wanted(reader):
    """The zeros that an operation wants around its input; None if it asks for none."""
    if isinstance(reader, ops.Residual):
        return _pad_wanted(reader.body[0])
    return reader.pad if isinstance(reader, ops.Convolution) else None


def words(shape) -> str:
    """A shape as text, such as 3x32x32."""
    return "x".join(map(str, shape))


def distances(image) -> tuple:
    """What kernels that take either form are told of an image."""
    return image.plane, image.row, image.pixel


def c_float(value) -> str:
    """C: a float constant, with enough digits for it to come back as it was."""
    text = f"{float(np.float32(value)):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f".replace("inf.0f", "INFINITY")

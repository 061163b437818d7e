"""A stage: a call of a kernel in a C function of its own, from one image into another."""

import dataclasses
import typing

from branchynet.inference.native import images
from branchynet.inference.native.images import Image

_PARAMETERS = {"in": "const float *in", "weights": "const float *weights", "out": "float *out", "extra": "float *extra"}


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the builder of an operation is given.

    Attributes:
        program: `branchynet.inference.native.program.Program`.
        calls: list of lines of C, which is added to.
        operation: of `branchynet.inference.operations`.
        relu: whether a ReLU follows.
        name: of the image that it makes.
        readers: operations that read the result.
    """

    program: typing.Any
    calls: list
    operation: typing.Any
    relu: bool
    name: str
    readers: list

    def result(self, shape) -> Image:
        """The image of the result."""
        return self.program.result(self.name, shape, self.readers)

    def scratch(self, n) -> str:
        """A buffer of n floats beside the image of the result; C: its address."""
        self.program.reserve(f"{self.name}_extra", n + images.SLACK)
        return f"work->{self.name}_extra"

    def add(self, name, comment, kernel, sizes, **arguments) -> None:
        """Adds a call of the stage's function.

        Args:
            name: of the function; another one of that name gets a number.
            comment: what it computes, with shapes.
            kernel: in kernels.h.
            sizes: its constants, behind the addresses.
            **arguments: the addresses, C, by their parameters' names (`_PARAMETERS`; "in" is written in_); 0 for none.
        """
        arguments = {key.rstrip("_"): value for key, value in arguments.items()}
        comment += ", ReLU" if self.relu else ""
        given = {key: value for key, value in arguments.items() if value != "0"}
        constants = ", ".join([*(key if key in given else "0" for key in arguments), *map(str, sizes)])
        text = f"({', '.join(_PARAMETERS[key] for key in given)})\n{{\n    {kernel}({constants});\n}}"
        self.calls.append(f"{self.program.function(name, text, comment)}({', '.join(given.values())});")

    def copied(self, image, target) -> Image:
        """The image in another place, with the padding that is wanted there."""
        target = self.program.new(target)
        bare = dataclasses.replace(self, relu=False)
        bare.add(
            f"copy_{words(image.shape)}",
            f"{words(image.shape)} in another place",
            "copy_scaled",
            (*image.shape, *distances(image), *distances(target), 0),
            in_=image.at(),
            weights="0",
            out=target.at(),
        )
        return target

    def interleaved(self, image) -> Image:
        """The image as operations of an interleaved program read it: only a sample is not."""
        return self.copied(image, Image.interleaved(f"{self.name}_in", image.shape)) if image.planar else image


def words(shape) -> str:
    """A shape as text, such as 3x32x32."""
    return "x".join(map(str, shape))


def distances(image) -> tuple:
    """What kernels that take either form are told of an image."""
    return image.plane, image.row, image.pixel

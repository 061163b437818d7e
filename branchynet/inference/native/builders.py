"""For each operation: which kernel computes it, from which image into which.

A builder takes a `Stage` and the image that the operation reads, adds what is to be called, and returns the image of
the result.
"""

import math

import numpy as np

from branchynet.inference import operations as ops
from branchynet.inference.native import images
from branchynet.inference.native.images import Image, pack_groups
from branchynet.inference.native.stages import c_float, distances, words

# Output channels of a block of runs.
_BLOCKS_OF_RUNS = range(1, 7)


def _groups(n_outputs):
    """(how many groups, output channels of each)."""
    group = images.group_of(n_outputs)
    return images.rounded_up(n_outputs, group) // group, group


def _convolution(stage, image):
    operation, out_shape = stage.operation, stage.operation.out_shape(image.shape)
    if stage.program.planar:
        form = _of_runs if operation.stride == (1, 1) else _of_planes
    else:
        form = _of_tiles if stage.program.tiling(operation, out_shape)[0] else _of_pixels
    kernel, source, target, sizes, packed, *extra = form(stage, image, out_shape)
    ksize, stride, pad = map(words, (operation.W.shape[2:], operation.stride, operation.pad))
    what = f"convolution, {ksize}, stride {stride}, padding {pad}"
    return stage.add(what, kernel, sizes, source, target, stage.relu, packed, operation.pad, *extra)


# The forms of a convolution: (kernel, the image as it reads it, that of the result, sizes, packed weights), and the
# address of a buffer of its own for the one that has one.


def _of_pixels(stage, image, out_shape):
    operation, image = stage.operation, _interleaved_with_padding(stage, image)
    target, groups = stage.result(out_shape), _groups(len(operation.b))
    sizes = (*groups, *operation.W.shape[1:], image.row, image.pixel, *operation.stride)
    sizes = (*sizes, *out_shape[1:], target.row, target.pixel)
    # The kernel goes over ky, kx, c.
    return "convolution", image, target, sizes, pack_groups(operation.W.transpose(0, 2, 3, 1), operation.b, groups[1])


def _of_tiles(stage, image, out_shape):
    operation, image = stage.operation, _interleaved_with_padding(stage, image)
    tiling, _ = stage.program.tiling(operation, out_shape)
    # The last tiles may read so many rows and pixels more than there are.
    stage.program.reserve(image.name, (tiling.n - 1) * (image.row + image.pixel))
    target, groups, channels = stage.result(out_shape), _groups(len(operation.b)), operation.W.shape[1]
    sizes = (*groups, channels, tiling.side, tiling.n, image.row, image.pixel, *out_shape[1:], target.row, target.pixel)
    extra = stage.scratch(images.size_of_block(tiling, math.prod(groups), channels))
    packed = images.pack_tiles(tiling, operation.W, operation.b, groups[1])
    return "convolution_of_tiles", image, target, sizes, packed, extra


def _interleaved_with_padding(stage, image):
    """The image as an interleaved convolution reads it."""
    pad = stage.operation.pad
    if image.planar or image.pad[0] < pad[0] or image.pad[1] < pad[1]:
        return stage.copied(image, Image.interleaved(f"{stage.name}_in", image.shape, pad, tight=True))
    return image


def _of_runs(stage, image, out_shape):
    n_outputs, channels, kh, kw = stage.operation.W.shape
    image = _in_planes(stage, image, max(out_shape[2], image.shape[2] + stage.operation.pad[1]))
    # The last vector of a run reaches past its end, but not into the next plane.
    target = stage.program.new(Image.planes(stage.name, out_shape, row=image.row, step=images.SMALL_GROUP))
    block = images.fitting_group(n_outputs, _BLOCKS_OF_RUNS)
    n_blocks = images.rounded_up(n_outputs, block) // block
    stage.program.reserve(stage.name, (n_blocks * block - n_outputs) * target.plane)
    n_positions = (out_shape[1] - 1) * image.row + out_shape[2]
    sizes = (n_blocks, block, channels, kh, kw, image.plane, image.row, target.plane, n_positions)
    return "convolution_of_runs", image, target, sizes, pack_groups(stage.operation.W, stage.operation.b, block)


def _of_planes(stage, image, out_shape):
    operation = stage.operation
    image = _in_planes(stage, image, image.shape[2] + 2 * operation.pad[1])
    target = stage.program.new(Image.planes(stage.name, out_shape))
    sizes = (*operation.W.shape, image.plane, image.row, *operation.stride, *out_shape[1:], target.plane, target.row)
    return "convolution_of_planes", image, target, sizes, pack_groups(operation.W, operation.b, 1)


def _in_planes(stage, image, row):
    """The image as planes with the padding of the operation, and rows of at least that length."""
    pad = stage.operation.pad
    if image.planar and image.pad == pad and image.row >= row:
        return image
    return stage.copied(image, Image.planes(f"{stage.name}_in", image.shape, pad, row))


def _linear(stage, image):
    n_outputs = len(stage.operation.W)
    if not image.is_gapless:
        kind = Image.planes if image.planar else Image.interleaved
        image = stage.copied(image, kind(f"{stage.name}_in", image.shape))
    target = stage.program.new(Image.interleaved(stage.name, (n_outputs, 1, 1)))
    n_inputs = math.prod(image.shape[1:]) * (image.shape[0] if image.planar else image.pixel)
    packed = images.pack_linear(stage.operation, image)
    sizes = (*_groups(n_outputs), n_inputs)
    return stage.add("fully connected", "fully_connected", sizes, image, target, stage.relu, packed)


def _scale(stage, image):
    factors = np.concatenate([stage.operation.scale, stage.operation.shift])
    return stage.copy("scale, and shift of each channel", image, stage.result(image.shape), stage.relu, factors)


def _relu(stage, image):
    return stage.copy("relu", image, stage.result(image.shape), relu=True)


def _pooling(kind):
    def build(stage, image):
        operation, planar = stage.operation, stage.program.planar
        image = image if planar else stage.interleaved(image)
        out_shape = operation.out_shape(image.shape)
        target = stage.result(out_shape)
        kernel, source_steps, target_steps = _form(f"{kind}_pooling", planar, image, target)
        window = (*operation.ksize, *operation.stride, *operation.pad, *out_shape[1:])
        what = f"{kind} pooling, {words(operation.ksize)}, stride {words(operation.stride)}"
        return stage.add(what, kernel, (*image.shape, *source_steps, *window, *target_steps), image, target)

    return build


def _form(kernel, planar, source, target):
    """(kernel for that form of images, the distances that it is told of the source, and of the target)."""
    if planar:
        return f"{kernel}_of_planes", (source.plane, source.row), (target.plane, target.row)
    return kernel, (source.row, source.pixel), (target.row, target.pixel)


def _local_response_normalization(stage, image):
    operation, planar = stage.operation, stage.program.planar
    image = image if planar else stage.interleaved(image)
    target, n_channels = stage.result(image.shape), 2 * (operation.n // 2) + 1
    kernel, source_steps, target_steps = _form("local_response_normalization", planar, image, target)
    constants = (n_channels, *map(c_float, (operation.k, operation.alpha, operation.beta)))
    sizes = (*image.shape, *source_steps, *target_steps, *constants)
    extra = None if planar else stage.scratch(image.shape[2] * (image.shape[0] + n_channels) + image.pixel)
    what = f"local response normalisation, over {n_channels} channels"
    return stage.add(what, kernel, sizes, image, target, extra=extra)


def _residual(stage, image):
    body, result = stage.program.sequence(stage.operation.body, image, stage.name, stage.readers)
    stage.calls.extend(body)
    sizes = (image.shape[0], *result.shape, *distances(image), stage.operation.stride, *distances(result))
    return stage.add("add shortcut, of a residual block", "add_shortcut", sizes, image, result, stage.relu)


BUILDERS = {
    ops.Convolution: _convolution,
    ops.Linear: _linear,
    ops.Scale: _scale,
    ops.Relu: _relu,
    ops.MaxPooling: _pooling("max"),
    ops.AveragePooling: _pooling("average"),
    ops.LocalResponseNormalization: _local_response_normalization,
    ops.Residual: _residual,
}

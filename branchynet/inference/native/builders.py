"""For each operation: which kernel computes it, from which image into which.

A builder takes a `Stage` and the image that the operation reads, adds what is to be called, and returns the image of
the result.
"""

import math

import numpy as np

from branchynet.inference import operations as ops
from branchynet.inference.native import images
from branchynet.inference.native.images import Image
from branchynet.inference.native.stages import distances, words


def _groups(n_outputs):
    """(how many groups, output channels of each)."""
    group = images.group_of(n_outputs)
    return images.rounded_up(n_outputs, group) // group, group


def _float(value):
    """C: a float constant."""
    text = f"{float(np.float32(value)):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _convolution(stage, image):
    operation = stage.operation
    out_shape = operation.out_shape(image.shape)
    name = f"convolution_{words(image.shape)}_to_{words(out_shape)}"
    comment = (
        f"convolution {words(operation.W.shape[2:])}, stride {words(operation.stride)}, padding "
        f"{words(operation.pad)}: {words(image.shape)} -> {words(out_shape)}"
    )
    if not stage.program.planar:
        return _convolution_of_pixels(stage, image, out_shape, name, comment)
    if operation.stride == (1, 1):
        return _convolution_of_runs(stage, image, out_shape, name, comment)
    return _convolution_of_planes(stage, image, out_shape, name, comment)


def _convolution_of_pixels(stage, image, out_shape, name, comment):
    operation = stage.operation
    (_, channels, kh, kw), pad = operation.W.shape, operation.pad
    if image.planar or image.pad[0] < pad[0] or image.pad[1] < pad[1]:
        image = stage.copied(image, Image.interleaved(f"{stage.name}_in", image.shape, pad, tight=True))
    target = stage.result(out_shape)
    sizes = (*_groups(len(operation.b)), channels, kh, kw, image.row, image.pixel, *operation.stride)
    stage.add(
        name,
        comment,
        "convolution",
        (*sizes, *out_shape[1:], target.row, target.pixel, int(stage.relu)),
        in_=image.at(-pad[0], -pad[1]),
        weights=stage.program.pack(images.pack_convolution(operation)),
        out=target.at(),
    )
    return target


def _convolution_of_runs(stage, image, out_shape, name, comment):
    operation = stage.operation
    (n_outputs, channels, kh, kw), pad = operation.W.shape, operation.pad
    row = max(out_shape[2], image.shape[2] + pad[1])
    if not image.planar or image.pad != pad or image.row < row:
        image = stage.copied(image, Image.planes(f"{stage.name}_in", image.shape, pad, row))
    # The last vector of a run reaches past its end, but not into the next plane.
    target = stage.program.new(Image.planes(stage.name, out_shape, row=image.row, step=images.SMALL_GROUP))
    block = images.block_of_runs(n_outputs)
    n_blocks = images.rounded_up(n_outputs, block) // block
    stage.program.reserve(stage.name, (n_blocks * block - n_outputs) * target.plane)
    n_positions = (out_shape[1] - 1) * image.row + out_shape[2]
    sizes = (n_blocks, block, channels, kh, kw, image.plane, image.row, target.plane, n_positions, int(stage.relu))
    stage.add(
        name,
        comment,
        "convolution_of_runs",
        sizes,
        in_=image.at(-pad[0], -pad[1]),
        weights=stage.program.pack(images.pack_runs(operation, block)),
        out=target.at(),
    )
    return target


def _convolution_of_planes(stage, image, out_shape, name, comment):
    operation = stage.operation
    (n_outputs, channels, kh, kw), pad = operation.W.shape, operation.pad
    row = image.shape[2] + 2 * pad[1]
    if not image.planar or image.pad != pad or image.row < row:
        image = stage.copied(image, Image.planes(f"{stage.name}_in", image.shape, pad, row))
    target = stage.program.new(Image.planes(stage.name, out_shape))
    sizes = (n_outputs, channels, kh, kw, image.plane, image.row, *operation.stride, *out_shape[1:])
    stage.add(
        name,
        comment,
        "convolution_of_planes",
        (*sizes, target.plane, target.row, int(stage.relu)),
        in_=image.at(-pad[0], -pad[1]),
        weights=stage.program.pack(images.pack_runs(operation, 1)),
        out=target.at(),
    )
    return target


def _linear(stage, image):
    n_outputs = len(stage.operation.W)
    if not image.is_gapless:
        kind = Image.planes if image.planar else Image.interleaved
        image = stage.copied(image, kind(f"{stage.name}_in", image.shape))
    target = stage.program.new(Image.interleaved(stage.name, (n_outputs, 1, 1)))
    stage.add(
        f"fully_connected_{words(image.shape)}_to_{n_outputs}",
        f"fully connected: {words(image.shape)} -> {n_outputs}",
        "fully_connected",
        (
            *_groups(n_outputs),
            math.prod(image.shape[1:]) * (image.shape[0] if image.planar else image.pixel),
            int(stage.relu),
        ),
        in_=image.at(),
        weights=stage.program.pack(images.pack_linear(stage.operation, image)),
        out=target.at(),
    )
    return target


def _scale(stage, image):
    target = stage.result(image.shape)
    stage.add(
        f"scale_{words(image.shape)}",
        f"x * scale + shift for each channel: {words(image.shape)}",
        "copy_scaled",
        (*image.shape, *distances(image), *distances(target), int(stage.relu)),
        in_=image.at(),
        weights=stage.program.pack(np.concatenate([stage.operation.scale, stage.operation.shift])),
        out=target.at(),
    )
    return target


def _relu(stage, image):
    target = stage.result(image.shape)
    stage.add(
        f"relu_{words(image.shape)}",
        f"{words(image.shape)}",
        "copy_scaled",
        (*image.shape, *distances(image), *distances(target), 1),
        in_=image.at(),
        weights="0",
        out=target.at(),
    )
    return target


def _pooling(kind):
    def build(stage, image):
        operation = stage.operation
        if not stage.program.planar:
            image = stage.interleaved(image)
        out_shape = operation.out_shape(image.shape)
        target = stage.result(out_shape)
        window = (*operation.ksize, *operation.stride, *operation.pad, *out_shape[1:])
        addresses = {"in_": image.at(), "out": target.at()}
        if stage.program.planar:
            kernel, sizes = f"{kind}_pooling_of_planes", (*image.shape, image.plane, image.row)
            sizes = (*sizes, *window, target.plane, target.row)
        else:
            kernel = f"{kind}_pooling"
            sizes = (*image.shape, image.row, image.pixel, *window, target.row, target.pixel)
        stage.add(
            f"{kind}_pooling_{words(image.shape)}_to_{words(out_shape)}",
            f"{kind} pooling {words(operation.ksize)}, stride {words(operation.stride)}: {words(image.shape)} -> "
            f"{words(out_shape)}",
            kernel,
            sizes,
            **addresses,
        )
        return target

    return build


def _local_response_normalization(stage, image):
    operation = stage.operation
    if not stage.program.planar:
        image = stage.interleaved(image)
    target = stage.result(image.shape)
    n_channels = 2 * (operation.n // 2) + 1
    constants = (n_channels, _float(operation.k), _float(operation.alpha), _float(operation.beta))
    addresses = {"in_": image.at(), "out": target.at()}
    if stage.program.planar:
        kernel = "local_response_normalization_of_planes"
        sizes = (image.plane, image.row, target.plane, target.row)
    else:
        kernel, sizes = "local_response_normalization", (image.row, image.pixel, target.row, target.pixel)
        addresses["extra"] = stage.scratch(image.pixel + n_channels)
    stage.add(
        f"normalise_{words(image.shape)}",
        f"local response normalisation over {n_channels} channels: {words(image.shape)}",
        kernel,
        (*image.shape, *sizes, *constants),
        **addresses,
    )
    return target


def _residual(stage, image):
    body, result = stage.program.sequence(stage.operation.body, image, stage.name, stage.readers)
    stage.calls.extend(body)
    stage.add(
        f"add_shortcut_{words(image.shape)}_to_{words(result.shape)}",
        f"residual block: the shortcut of {words(image.shape)} added to {words(result.shape)}",
        "add_shortcut",
        (
            image.shape[0],
            *result.shape,
            *distances(image),
            stage.operation.stride,
            *distances(result),
            int(stage.relu),
        ),
        in_=image.at(),
        out=result.at(),
    )
    return result


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

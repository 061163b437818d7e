"""Where numbers lie in the native engine's workspace, and how weights are packed for them.

The two forms of an image, *interleaved* and *planar*, are explained at the top of `kernels.h`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

# Output channels are computed in groups of 32, or of 16 where there are no more; the width of no machine's vectors is
# larger, so that one source serves all.
LARGE_GROUP, SMALL_GROUP = 32, 16
# Floats behind every buffer, for the last vector may reach past the end: SLACK in kernels.h.
SLACK = 128
# Most tiles in a block, and floats between the numbers of two places: MOST and PLACE_GAP in C.
_MOST_TILES, _PLACE_GAP = 24, 16


def group_of(n_outputs: int) -> int:
    """Output channels that are computed together."""
    return LARGE_GROUP if n_outputs > SMALL_GROUP else SMALL_GROUP


def rounded_up(n: int, step: int) -> int:
    """The smallest multiple of `step` that is at least n."""
    return -(-n // step) * step


@dataclasses.dataclass(frozen=True)
class Image:
    """One sample's image, or vector, in the workspace."""

    name: str  # of the workspace's array
    shape: tuple  # (C, H, W); (C, 1, 1) for a vector
    planar: bool  # its form
    pad: tuple  # (rows above and below, columns to the left and to the right) of zeros around it
    pixel: int  # distance in floats from a pixel to the next
    row: int  # from a row to the next
    plane: int  # from a channel to the next

    @classmethod
    def interleaved(cls, name, shape, pad=(0, 0), tight=False) -> Image:
        """Channels beside each other, rounded up so that vectors go over them; exactly as many where `tight` says so,
        for an image that convolutions alone read."""
        channels, _, width = shape
        pixel = channels if tight else rounded_up(channels, group_of(channels))
        return cls(name, tuple(shape), False, tuple(pad), pixel, (width + 2 * pad[1]) * pixel, 1)

    @classmethod
    def planes(cls, name, shape, pad=(0, 0), row=0, step=1) -> Image:
        """A plane for each channel. Rows are padded at the left only: what stands to the right is the padding of the
        row below; `row` is their least length, and a plane is a multiple of `step` floats."""
        _, height, width = shape
        row = max(row, width + pad[1])
        return cls(name, tuple(shape), True, tuple(pad), 1, row, rounded_up((height + 2 * pad[0]) * row, step))

    @property
    def first(self) -> int:
        """Where the first number of the image itself lies."""
        return self.pad[0] * self.row + self.pad[1] * self.pixel

    @property
    def size(self) -> int:
        """Floats of the buffer."""
        channels, height, _ = self.shape
        used = channels * self.plane if self.planar else (height + 2 * self.pad[0]) * self.row
        return rounded_up(used + SLACK, SMALL_GROUP)

    @property
    def is_gapless(self) -> bool:
        """Whether all numbers from the first to the last are the image's own, zeros behind its channels aside."""
        _, height, width = self.shape
        if self.planar:
            return self.pad == (0, 0) and self.row == width and self.plane == height * width
        return self.pad == (0, 0)

    def at(self, down=0, right=0) -> str:
        """C: the address of a number in the first channel; (0, 0) is that of the image itself."""
        offset = self.first + down * self.row + right * self.pixel
        return f"work->{self.name}" + (f" + {offset}" if offset else "")


def pack_groups(weights, bias, group) -> np.ndarray:
    """Weights for `convolution` and `fully_connected` in kernels.h.

    Args:
        weights: (O, ...) float32, inputs in the order in which the kernel goes over them.
        bias: (O,) float32.
        group: output channels of a group.

    Returns:
        flat float32: for each group its biases, then for each input the weights of the group's outputs.
    """
    n_outputs = rounded_up(len(bias), group)
    rows = np.zeros((n_outputs, 1 + math.prod(weights.shape[1:])), np.float32)
    rows[: len(bias), 0], rows[: len(bias), 1:] = bias, weights.reshape(len(bias), -1)
    return rows.reshape(-1, group, rows.shape[1]).swapaxes(1, 2).ravel()


def pack_tiles(tiling, weights, bias, group) -> np.ndarray:
    """Weights for `convolution_of_tiles` in tiles.h.

    Args:
        tiling: `branchynet.machine.winograd.Tiling`.
        weights, bias, group: as of `pack_groups`; weights (O, C, k, k).

    Returns:
        flat float32: the biases, in whole groups; for each place, row by row, and each group the weights of the group's
        outputs for each input channel.
    """
    n_outputs, channels = weights.shape[:2]
    padded = np.zeros((rounded_up(n_outputs, group), channels, tiling.side**2))
    padded[:n_outputs] = weights.reshape(n_outputs, channels, -1) @ tiling.transform.T
    by_place = padded.reshape(-1, group, channels, tiling.side**2).transpose(3, 0, 2, 1)
    return np.concatenate([np.pad(bias, (0, len(padded) - n_outputs)), by_place.ravel()])


def size_of_block(tiling, n_outputs, channels) -> int:
    """Floats for the numbers and sums of a block of tiles; n_outputs: whole groups."""
    n_tiles = min(_MOST_TILES, tiling.down * tiling.across)
    numbers = n_tiles * rounded_up(channels, SMALL_GROUP) + _PLACE_GAP
    return tiling.side**2 * (numbers + n_tiles * n_outputs + _PLACE_GAP)


def pack_linear(operation, image) -> np.ndarray:
    """Of a fully connected layer that reads an `Image` without gaps as it lies."""
    weights = operation.W
    if not image.planar:
        channels, height, width = image.shape
        by_pixel = weights.reshape(-1, channels, height * width).swapaxes(1, 2)  # (O, H * W, C)
        weights = np.zeros((len(weights), height * width, image.pixel), np.float32)
        weights[..., :channels] = by_pixel
    return pack_groups(weights, operation.b, group_of(len(operation.b)))


def fitting_group(n_outputs: int, sizes) -> int:
    """Output channels of a group, of some sizes: the largest with which as few as can be are computed for nothing."""
    return min(sizes, key=lambda size: (rounded_up(n_outputs, size), -size))

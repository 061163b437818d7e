"""What a compiled program is made of: teams of threads, numbers in memory, stages and segments."""

from __future__ import annotations

import dataclasses
import math

WARP = 32


@dataclasses.dataclass(frozen=True)
class Team:
    """Who computes a stage, and so how it is cut.

    Attributes:
        name: of the team.
        block: threads of a block.
        n_blocks: how many blocks compute one sample; about as many as large GPUs have multiprocessors. 0 where there
            can be so many samples that a thread has a tile of a convolution for itself.
        pixels: neighbouring pixels of such a tile.
        sharing: threads that share the tiles of a sample: several have one where there are fewer. 0 where that is known
            only when it runs: `parts_of_few` in kernels.cuh.
        resident: blocks that a multiprocessor holds at a time, at least: more of them hide each other's waiting, and
            each has fewer registers.
    """

    name: str
    block: int
    n_blocks: int = 0
    pixels: int = 0
    sharing: int = 0
    resident: int = 1

    @property
    def n_warps(self) -> int:
        """Of all blocks that compute one sample."""
        return self.block // WARP * self.n_blocks


# Many samples at a time: a block has one, or all have a layer of all of them.
BLOCK = Team("block", block=256, pixels=4, sharing=256, resident=4)
LAYER = Team("layer", block=256, pixels=4, resident=3)
# One sample that nobody else waits for: in a block's shared memory, or by all multiprocessors.
LONE_BLOCK = Team("lone_block", block=512, n_blocks=1)
GRID = Team("grid", block=512, n_blocks=128)
TEAMS = (BLOCK, LAYER, LONE_BLOCK, GRID)


@dataclasses.dataclass(frozen=True)
class Numbers:
    """One sample's image, or vector: where it begins, in floats, and its shape (C, H, W)."""

    at: int
    shape: tuple

    @property
    def size(self) -> int:
        """How many floats."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A call of a kernel.

    Attributes:
        functions: {name of a team: the C function that it calls}.
        source, weights, target: where they begin, in floats.
        shortcut: where the image begins that is added, in floats; None where none is.
    """

    functions: dict
    source: int
    weights: int
    target: int
    shortcut: int | None


@dataclasses.dataclass(frozen=True)
class Segment:
    """The stages up to an exit, the head's included, and its logits."""

    stages: tuple
    logits: Numbers

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
        threads: that it has at least, to compute one sample.
        pixels: neighbouring pixels that a thread computes.
        parts: threads that share a tile, at most.
    """

    name: str
    threads: int
    pixels: int
    parts: int


BLOCK = Team("block", threads=256, pixels=2, parts=WARP)
# One sample on all multiprocessors: a hundred of them, with 256 threads each.
GRID = Team("grid", threads=1 << 15, pixels=1, parts=8)
# Many samples at a time: there are threads' worth of tiles but in fully connected layers.
LAYER = Team("layer", threads=WARP, pixels=2, parts=WARP)
TEAMS = (BLOCK, GRID, LAYER)


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
    """

    functions: dict
    source: int
    weights: int
    target: int


@dataclasses.dataclass(frozen=True)
class Segment:
    """The stages up to an exit, the head's included, and its logits."""

    stages: tuple
    logits: Numbers

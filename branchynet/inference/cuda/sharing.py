"""How the warps of a team share the tiles of a convolution of one sample: `shared_convolution` in one_sample.cuh.

A multiprocessor takes its warps' loads one after another, and a vector of four weights takes four cycles, even where
all lanes read the same one (measured on an H100: with a pixel to each lane, a layer of B-LeNet in one block took 6,124
cycles where these loads alone take 5,800). So a lane has several pixels where there are enough of them: it needs the
weights only once.
"""

from __future__ import annotations

import itertools
import typing

from branchynet.inference.cuda.stages import WARP

# A weight is read in vectors of four floats, and every array begins with one.
VECTOR = 4
# Cycles until what a warp loads is there, if nobody is in its way.
_LOAD_CYCLES = 40
# Cycles that a barrier takes, about, and what is added up behind it.
_ADDING_CYCLES = 60
# Floats of a block for what its warps add up, at most: 32 KB.
_MOST_PARTIAL = 32 * 1024 // 4


class Form(typing.NamedTuple):
    """How a tile is shared.

    Attributes:
        vectors: of four outputs.
        pixels: of a lane.
        lanes: of a warp that have pixels of their own; a power of 2.
        warps: of a block that share it; a power of 2.
    """

    vectors: int
    pixels: int
    lanes: int
    warps: int

    def n_sums(self, group) -> int:
        """Numbers that each warp adds up; of a group's outputs some may be padding."""
        return min(VECTOR * self.vectors, group) * self.pixels * self.lanes

    def n_partial(self, team, group) -> int:
        """Floats that a block needs for what each of its warps adds up."""
        return 0 if self.warps == 1 else team.block // WARP * self.n_sums(group)

    def cost(self, team, group, n_pixels, n_outputs, n_lines) -> float:
        """Cycles for a column of the window, about: what the loads take, or a warp waits for them."""
        n_tiles = (
            -(-n_outputs // group) * -(-group // VECTOR) // self.vectors * -(-n_pixels // (self.lanes * self.pixels))
        )
        n_rounds = -(-n_tiles * self.warps // team.n_warps)
        n_lines_each = -(-n_lines * self.lanes // (self.warps * WARP))
        n_busy = min(team.block // WARP, n_tiles * self.warps)
        loading = max(n_busy * (VECTOR * self.vectors + self.pixels), _LOAD_CYCLES)
        adding = 0 if self.warps == 1 else _ADDING_CYCLES + self.warps * self.n_sums(group) / WARP
        return n_rounds * (n_lines_each * loading + adding)


def best_form(team, group, n_pixels, n_outputs, n_lines) -> Form:
    """The form of least cost.

    Args:
        team: a `Team` for one sample.
        group: outputs whose weights are packed together.
        n_pixels, n_outputs: of the result.
        n_lines: of the input that meet in a number of the result: channels times the window's rows.
    """
    lanes = min(WARP, 1 << (n_pixels - 1).bit_length())
    all_vectors = sorted({1, -(-group // VECTOR)})
    all_pixels = (1, 2, 4) if lanes == WARP else (1,)
    all_warps = [1 << n for n in range((team.block // WARP).bit_length())]
    forms = [Form(v, p, lanes, w) for v, p, w in itertools.product(all_vectors, all_pixels, all_warps)]
    possible = [form for form in forms if form.n_partial(team, group) <= _MOST_PARTIAL]
    return min(possible, key=lambda form: form.cost(team, group, n_pixels, n_outputs, n_lines))

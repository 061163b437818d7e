"""How the warps of a team share the tiles of a convolution of one sample: `shared_convolution` in one_sample.cuh.

Such a layer takes as long as its instructions, of which a multiprocessor begins four at a time, of four warps; or as
long as a warp waits for what it loads, line after line.
"""

from __future__ import annotations

import itertools
import typing

from branchynet.inference.cuda.stages import WARP

# A weight is read in vectors of four floats, and every array begins with one.
VECTOR = 4
# Of a multiprocessor: warps that begin an instruction at a time.
_SCHEDULERS = 4
# Cycles until what a line needs has been loaded, and those of a barrier, about.
_LOAD_CYCLES, _BARRIER_CYCLES = 200, 60
# Instructions for a value with its place, and around those for a line, about.
_FOR_A_VALUE, _FOR_A_LINE = 4, 20
# Floats of a block for what its warps add up, at most: 32 KB.
_MOST_PARTIAL = 32 * 1024 // 4


class Layer(typing.NamedTuple):
    """What is computed.

    Attributes:
        group: outputs whose weights are packed together.
        n_outputs, height, width: of the result.
        n_lines: of the input that meet in a number of the result: channels times the window's rows.
        window, stride: in a row.
    """

    group: int
    n_outputs: int
    height: int
    width: int
    n_lines: int
    window: int
    stride: int


class Form(typing.NamedTuple):
    """How a tile is shared.

    Attributes:
        vectors: of four outputs.
        pixels: neighbouring ones, of a lane.
        lanes: of a warp that have pixels of their own; a power of 2.
        warps: of a block that share it; a power of 2.
    """

    vectors: int
    pixels: int
    lanes: int
    warps: int

    def n_sums(self, layer) -> int:
        """Numbers that a lane adds up."""
        return min(VECTOR * self.vectors, layer.group) * self.pixels

    def n_partial(self, team, layer) -> int:
        """Floats that a block needs for what its warps add up; the first one of a tile keeps its own."""
        return team.block // WARP * (self.warps - 1) // self.warps * self.n_sums(layer) * self.lanes

    def cost(self, team, layer) -> float:
        """Cycles, about."""
        n_places = layer.height * -(-layer.width // self.pixels)
        n_slices = -(-layer.n_outputs // layer.group) * -(-layer.group // VECTOR) // self.vectors
        n_sharing = n_slices * -(-n_places // self.lanes) * self.warps
        n_busy = min(team.block // WARP, n_sharing)
        n_values = (self.pixels - 1) * layer.stride + layer.window
        a_line = layer.window * (self.n_sums(layer) + self.vectors) + _FOR_A_VALUE * n_values + _FOR_A_LINE
        n_lines_each = -(-layer.n_lines * self.lanes // (self.warps * WARP))
        adding = (self.warps - 1) * self.n_sums(layer) + (_BARRIER_CYCLES if self.warps > 1 else 0)
        n_rounds = -(-n_sharing // team.n_warps)
        return n_rounds * (n_lines_each * max(a_line * n_busy / _SCHEDULERS, _LOAD_CYCLES) + adding)


def best_form(team, layer) -> Form:
    """The form of least cost for a `Team` that computes one sample, and a `Layer`."""
    all_vectors = sorted({1, -(-layer.group // VECTOR)})
    all_warps = [1 << n for n in range((team.block // WARP).bit_length())]
    forms = []
    for vectors, pixels, warps in itertools.product(all_vectors, (1, 2, 4), all_warps):
        n_places = layer.height * -(-layer.width // pixels)
        forms.append(Form(vectors, pixels, min(WARP, 1 << (n_places - 1).bit_length()), warps))
    possible = [form for form in forms if form.n_partial(team, layer) <= _MOST_PARTIAL]
    return min(possible, key=lambda form: form.cost(team, layer))

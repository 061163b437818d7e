"""A plan: the network as segments, each a piece of the trunk and the head of the exit behind it.

Work that a branch and the trunk behind it both begin with (the authors' lists repeat ReLU, pooling and normalisation
on either side of an exit point) is done once, in the segment's trunk piece.
"""

from __future__ import annotations

import dataclasses

from branchynet.inference.lowering import fold_scales, lower
from branchynet.inference.operations import count_multiply_adds, shape_after


@dataclasses.dataclass(frozen=True)
class Segment:
    """What is computed from one exit point to the next.

    Attributes:
        trunk: operations from the segment's input to the point where branch and trunk part.
        head: operations from there to the logits of this exit.
        in_shape: shape of one sample at the segment's input.
        out_shape: shape of one sample where branch and trunk part: the input of the next segment.
    """

    trunk: tuple
    head: tuple
    in_shape: tuple
    out_shape: tuple

    @property
    def trunk_multiply_adds(self) -> int:
        """Of the trunk piece, for one sample."""
        return count_multiply_adds(self.trunk, self.in_shape)

    @property
    def head_multiply_adds(self) -> int:
        """Of the head, for one sample."""
        return count_multiply_adds(self.head, self.out_shape)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A network, ready for an engine.

    Attributes:
        segments: one for each exit, the last exit last.
        n_classes: size of the logits.
    """

    segments: tuple
    n_classes: int

    @property
    def in_shape(self) -> tuple:
        """Shape of one sample."""
        return self.segments[0].in_shape

    @property
    def n_exits(self) -> int:
        """The number of exits, the last one included."""
        return len(self.segments)

    def path_multiply_adds(self) -> list:
        """Multiply-adds of one sample that leaves at each exit: trunk pieces and heads up to there."""
        totals, total = [], 0
        for segment in self.segments:
            total += segment.trunk_multiply_adds + segment.head_multiply_adds
            totals.append(total)
        return totals


def make_plan(net, sample_shape) -> Plan:
    """The plan of a `BranchyNet`; weights are copied, batch normalisation is folded into them, dropout is gone.

    Args:
        net: a `BranchyNet`, all its parameters initialised.
        sample_shape: shape of one sample, (C, H, W).

    Raises:
        CompileError: a layer that cannot be compiled, named by its place.
        NetworkError: the network does not take such a sample.
    """
    net.initialise(sample_shape)
    stages = [lower(stage.layers, f"stage {n} of the trunk") for n, stage in enumerate(net.trunk, start=1)]
    heads = [lower(branch.layers, f"exit {n}") for n, branch in enumerate(net.exits, start=1)]
    return _assemble(stages, heads, sample_shape)


def make_plain_plan(net, sample_shape) -> Plan:
    """The plan of the plain network, trunk and last exit: one segment."""
    net.initialise(sample_shape)
    stages = [lower(stage.layers, f"stage {n} of the trunk") for n, stage in enumerate(net.trunk, start=1)]
    whole_trunk = [operation for stage in stages for operation in stage]
    return _assemble([whole_trunk], [lower(net.exits[-1].layers, "last exit")], sample_shape)


def gain_limits(plan, plain_plan, exit_pct) -> dict:
    """What the multiply-adds allow early exit to gain, and the break-even of each early exit.

    An early exit's head is paid by every sample that reaches it, and spares those that leave all that lies behind; it
    pays for itself from that share of leavers on at which both are equal.

    Args:
        plan: of the branchy network.
        plain_plan: of the plain network, `make_plain_plan`.
        exit_pct: share of all samples that leaves at each exit, percent.

    Returns:
        JSON-able: {plain_multiply_adds, multiply_add_limit_of_gain, early_exits: list of {exit, multiply_adds_to_leave,
        head_multiply_adds, break_even_pct_of_reaching, leaving_pct_of_reaching}}.
    """
    paths, plain_count = plan.path_multiply_adds(), plain_plan.path_multiply_adds()[0]
    expected = sum(share / 100 * count for share, count in zip(exit_pct, paths))
    exits, reaching_pct = [], 100.0
    for n, segment in enumerate(plan.segments[:-1]):
        behind = sum(later.trunk_multiply_adds for later in plan.segments[n + 1 :])
        behind += plan.segments[-1].head_multiply_adds
        exits.append(
            {
                "exit": n + 1,
                "multiply_adds_to_leave": paths[n],
                "head_multiply_adds": segment.head_multiply_adds,
                "break_even_pct_of_reaching": 100 * segment.head_multiply_adds / behind,
                "leaving_pct_of_reaching": 100 * exit_pct[n] / reaching_pct if reaching_pct else 0.0,
            }
        )
        reaching_pct -= exit_pct[n]
    return {
        "plain_multiply_adds": plain_count,
        "multiply_add_limit_of_gain": plain_count / expected,
        "early_exits": exits,
    }


def _assemble(stages, heads, sample_shape):
    segments, shape = [], tuple(sample_shape)
    for index, head in enumerate(heads):
        following = stages[index + 1] if index + 1 < len(stages) else []
        n_common = _common_length(head, following)
        trunk = tuple(fold_scales([*stages[index], *head[:n_common]]))
        if following:
            stages[index + 1] = following[n_common:]
        out_shape = shape_after(trunk, shape)
        segments.append(Segment(trunk, tuple(fold_scales(head[n_common:])), shape, out_shape))
        shape = out_shape
    (n_classes,) = shape_after(segments[-1].head, segments[-1].out_shape)
    return Plan(tuple(segments), n_classes)


def _common_length(head, following):
    """How many operations branch and trunk both begin with. Operations with parameters are equal to none but
    themselves, so they never count."""
    length = 0
    while length < min(len(head), len(following)) and head[length] == following[length]:
        length += 1
    return length

"""A plan: the network as segments, each a piece of the trunk and the head of the exit behind it.

Work that a branch and the trunk behind it both begin with is done once, in the segment's trunk piece:
`BranchyNet.segments`.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from branchynet.errors import NetworkError
from branchynet.inference.lowering import fold_scales, lower
from branchynet.inference.operations import arrays_of, count_multiply_adds, shape_after
from branchynet.net import check_net


@dataclasses.dataclass(frozen=True)
class Segment:
    """What is computed from one exit point to the next."""

    trunk: tuple  # operations from the segment's input to the point where branch and trunk part
    head: tuple  # operations from there to the logits of this exit
    in_shape: tuple  # shape of one sample at the segment's input
    out_shape: tuple  # shape of one sample where branch and trunk part: the input of the next segment

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
    """A network, ready for an engine."""

    segments: tuple  # one for each exit, the last exit last
    n_classes: int  # size of the logits
    # Of `branchynet.datasets.transforms`, what makes samples of uint8 images; None where samples come.
    transform: typing.Callable | None = None

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


def make_plan(net, sample_shape=None) -> Plan:
    """The plan of a `BranchyNet`; weights are copied, batch normalisation is folded into them, dropout is gone.

    Args:
        net: a `BranchyNet`; it stays as it was, but parameters whose shape was left open get theirs.
        sample_shape: shape of one sample, (C, H, W); that of the net by default.

    Raises:
        CompileError: a layer that cannot be compiled, named by its place.
        NetworkError: the network does not take such a sample, or no shape is known; or weights or statistics are not
            finite, as they are or folded.
    """
    shape = _initialised(net, sample_shape)
    pieces = [
        (lower(trunk, f"trunk up to exit {number}"), lower(head, f"exit {number}"))
        for number, (trunk, head) in enumerate(net.segments(), start=1)
    ]
    return _assemble(pieces, shape)


def make_plain_plan(net, sample_shape=None) -> Plan:
    """The plan of the plain network, trunk and last exit: one segment. Arguments and errors: see `make_plan`."""
    shape = _initialised(net, sample_shape)
    trunk = [layer for stage in net.trunk for layer in stage.layers]
    return _assemble([(lower(trunk, "trunk"), lower(net.exits[-1].layers, "last exit"))], shape)


def _initialised(net, sample_shape):
    """The shape of a sample, for which the net has all its parameters now."""
    check_net(net)
    shape = net.sample_shape if sample_shape is None else sample_shape
    if shape is None:
        raise NetworkError("expected the shape of a sample, (C, H, W), got none: give it, or initialise the net")
    shape, _ = net.probe(shape)
    for name, param in net.namedparams():
        if not net.xp.isfinite(param.array).all():
            raise NetworkError(f"expected finite weights, got NaN or infinity in {name}")
    return shape


def _assemble(pieces, shape):
    """The plan of (operations of the trunk piece, operations of the head) for each exit; batch normalisation goes into
    the weights before it."""
    segments = []
    for trunk, head in pieces:
        trunk, head = tuple(fold_scales(trunk)), tuple(fold_scales(head))
        if not all(np.isfinite(array).all() for array in arrays_of((*trunk, *head))):
            raise NetworkError(
                f"segment {len(segments) + 1}: expected finite weights with batch normalisation folded in, got NaN or "
                "infinity: a mean or a variance is, a variance is negative, or a product too large"
            )
        segments.append(Segment(trunk, head, shape, shape_after(trunk, shape)))
        shape = segments[-1].out_shape
    (n_classes,) = shape_after(segments[-1].head, segments[-1].out_shape)
    return Plan(tuple(segments), n_classes)

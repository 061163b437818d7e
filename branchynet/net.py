"""`BranchyNet`: a deep network with early exits, made of one list (paper, section III).

The authors' code keeps a copy of the trunk for every exit and copies weights between them. Here every layer exists
once: the trunk is cut into stages at the exit points, and exit n is stages 1..n followed by its branch. That is the
same mathematics at a fraction of the work.
"""

from __future__ import annotations

import chainer
import numpy as np

from branchynet.errors import NetworkError
from branchynet.gate import is_shape, shown
from branchynet.links import Branch, Layers, apply_layers, count_common, describe_layer

# Of layers that do not fit. Chainer raises the last two of a sample that is smaller than the window of a convolution or
# of a pooling.
_MISFITS = (chainer.utils.type_check.InvalidType, ValueError, TypeError, ZeroDivisionError, IndexError)
_MISFITS += (RuntimeError, AssertionError)


class BranchyNet(chainer.Chain):
    """A trunk with exits.

    Args:
        layers: one flat list of links, `FL` items and `Branch` items; a Branch stands at each exit point and is the
            last item, because the last exit ends the network. A Branch may stand anywhere, any number of times.
        sample_shape: shape of one sample, (C, H, W), to `initialise` for at once; None for later.

    Attributes:
        trunk: ChainList of `Layers`, one stage for each exit; stage n leads from exit point n - 1 to exit point n.
        exits: ChainList of `Branch`, the heads, the last exit last.
        sample_shape: shape of one sample, (C, H, W), once `initialise` was told; None before.
        n_classes: size of the logits, then; None before.

    Raises:
        NetworkError: the list is not of that form, or a layer stands in it twice; or as of `initialise`.

    Example::

        net = BranchyNet([conv1, FL(F.relu), Branch([fc1]), conv2, FL(F.relu), Branch([fc2], weight=0.3)])
    """

    def __init__(self, layers, sample_shape=None):
        super().__init__()
        stages, branches = _cut_at_branches(layers)
        self.sample_shape = self.n_classes = None
        with self.init_scope():
            self.trunk = chainer.ChainList(*[Layers(stage, where="network list") for stage in stages])
            self.exits = chainer.ChainList(*branches)
        _check_layers_stand_once(self)
        if sample_shape is not None:
            self.initialise(sample_shape)

    @property
    def n_exits(self) -> int:
        """The number of exits, the last one included."""
        return len(self.exits)

    @property
    def loss_weights(self) -> tuple:
        """The weight w_n of each exit's loss, the last exit last."""
        return tuple(branch.weight for branch in self.exits)

    def stages(self):
        """Pairs (stage of the trunk, branch of its exit), from the input to the last exit."""
        return zip(self.trunk, self.exits)

    def segments(self) -> list:
        """The stages and branches as they are computed: what a branch and the trunk behind it both begin with is done
        once, before they part.

        The authors' lists repeat ReLU, pooling and normalisation on either side of an exit point. Only functions
        without parameters and chance are shared, so that results are the same; gradients are, to rounding.

        Returns:
            list of `n_exits` pairs (layers of the trunk up to where the branch parts, layers of the branch from there).
        """
        segments, n_done = [], 0
        following = [stage.layers for stage in self.trunk][1:] + [()]
        for (stage, branch), next_layers in zip(self.stages(), following):
            n_common = count_common(branch.layers, next_layers)
            segments.append((stage.layers[n_done:] + branch.layers[:n_common], branch.layers[n_common:]))
            n_done = n_common
        return segments

    def forward(self, x) -> list:
        """The logits of every exit, from one pass over the trunk.

        Args:
            x: (N, C, H, W) float32 array or Variable, on the network's device.

        Returns:
            list of `n_exits` Variables (N, n_classes) float32, the last exit last.
        """
        logits = []
        for trunk_piece, head in self.segments():
            x = apply_layers(trunk_piece, x)
            logits.append(apply_layers(head, x))
        return logits

    def plain(self) -> PlainNet:
        """The plain network: the trunk and the last exit, sharing their layers; gains are measured against it."""
        return PlainNet(self)

    def initialise(self, sample_shape) -> None:
        """Gives parameters whose shape was left open (``L.Linear(None, 10)``) their shape, by one forward pass.

        Arguments and errors are those of `probe`.
        """
        self.sample_shape, self.n_classes = self.probe(sample_shape)

    def probe(self, sample_shape) -> tuple:
        """What `initialise` does, but the net keeps its own `sample_shape` and `n_classes`.

        Args:
            sample_shape: shape of one sample, without the batch axis.

        Returns:
            (the shape as a tuple of int, size of the logits).

        Raises:
            NetworkError: the layers do not fit such a sample or each other, or an exit does not end in logits.
        """
        if not is_shape(sample_shape):
            raise NetworkError(f"shape of a sample: expected whole numbers >= 1, got {shown(sample_shape)}")
        sample_shape = tuple(map(int, sample_shape))
        x = self.xp.zeros((1, *sample_shape), dtype=np.float32)
        try:
            with chainer.using_config("train", False), chainer.no_backprop_mode():
                logits = self(x)
        except _MISFITS as error:
            with chainer.using_config("train", False), chainer.no_backprop_mode():
                where = self._misfit(x)
            raise NetworkError(
                f"the network does not take a sample of shape {tuple(sample_shape)}: {where}{error}"
            ) from error
        shapes = [exit_logits.shape for exit_logits in logits]
        if any(len(shape) != 2 or shape != shapes[0] for shape in shapes):
            raise NetworkError(f"expected logits (N, n_classes) of one shape from every exit, got {shapes}")
        return sample_shape, shapes[0][1]

    def _misfit(self, x):
        """The first layer that does not take what comes to it, as the beginning of a message."""
        for number, (trunk_piece, head) in enumerate(self.segments(), start=1):
            for layers in (trunk_piece, head):
                h = x
                for layer in layers:
                    try:
                        result = layer(h)
                    except _MISFITS:
                        return f"{describe_layer(layer)}, on the way to exit {number}, got shape {h.shape[1:]}: "
                    h = result
                x = h if layers is trunk_piece else x
        return ""

    def describe(self) -> list:
        """The architecture as text: for each exit, the lines of its stage and of its branch."""
        return [{"stage": stage.describe(), "branch": branch.describe()} for stage, branch in self.stages()]


def check_net(net) -> None:
    """Raises NetworkError unless it is a `BranchyNet`."""
    if not isinstance(net, BranchyNet):
        raise NetworkError(f"expected a BranchyNet, got {type(net).__name__}")


class PlainNet(chainer.Chain):
    """The network without its early exits. Its layers are the branchy network's own, not copies of them."""

    def __init__(self, net):
        super().__init__()
        with self.init_scope():
            self.trunk = net.trunk
            self.last_exit = net.exits[-1]

    def forward(self, x):
        """(N, C, H, W) float32 -> logits (N, n_classes) of the last exit."""
        for stage in self.trunk:
            x = stage(x)
        return self.last_exit(x)


def _cut_at_branches(layers):
    """Cuts a network list into the trunk's stages and the branches that end them."""
    if not isinstance(layers, (list, tuple)):
        raise NetworkError(f"network list: expected a list of links, FL and Branch items, got {shown(layers)}")
    if not layers or not isinstance(layers[-1], Branch):
        last = shown(layers[-1]) if layers else "an empty list"
        raise NetworkError(f"network list: expected a Branch as the last item (the last exit), got {last}")
    stages, branches = [[]], []
    for layer in layers:
        if isinstance(layer, Branch):
            branches.append(layer)
            stages.append([])
        else:
            stages[-1].append(layer)
    return stages[: len(branches)], branches


def _check_layers_stand_once(net):
    seen = set()
    for path, link in net.namedlinks(skipself=True):
        if id(link) in seen:
            raise NetworkError(
                f"network list: every layer exists once, but {type(link).__name__} at {path} stands there twice"
            )
        seen.add(id(link))

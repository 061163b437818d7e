"""What a weighting is told and what it answers, and the names that weightings go by."""

import functools

import chainer.functions as F

from branchynet.errors import TrainingError
from branchynet.functions import fan_out
from branchynet.registry import Registry

WEIGHTINGS = Registry(
    "weighting",
    TrainingError,
    {
        "confidence": "branchynet.training.weightings.fixed:ConfidenceWeighting",
        "distillation": "branchynet.training.weightings.fixed:Distillation",
        "gradient-equilibrium": "branchynet.training.weightings.fixed:GradientEquilibrium",
        "meta": "branchynet.training.weightings.meta:MetaWeighting",
    },
)


class ExitOutput:
    """What an exit gave in one training step.

    Attributes:
        number: of the exit, 1 for the first.
        logits: Variable (n, n_classes) float32.
        t: (n,) int32, the labels.
        features: Variable (n, ...) float32, the input of the exit's last layer; None unless the weighting
            `needs_features`.
        shard_weight: how much these samples count in the mean over the workers; 1 where there is one worker.
    """

    def __init__(self, number, logits, t, features=None, shard_weight=1.0):
        self.number, self.logits, self.t, self.features = number, logits, t, features
        self.shard_weight = shard_weight

    @functools.cached_property
    def cross_entropy(self):
        """Variable (), nats: the mean over the samples, the loss of the paper."""
        return F.softmax_cross_entropy(self.logits, self.t)

    @functools.cached_property
    def sample_losses(self):
        """Variable (n,), nats: the cross-entropy of each sample."""
        return F.softmax_cross_entropy(self.logits, self.t, reduce="no")

    def weighted_loss(self, weights):
        """Variable (): the mean over the samples of weight times cross-entropy; weights (n,) float32, an array."""
        return F.mean(self.sample_losses * weights)

    def reports(self, prefix="") -> dict:
        """What is reported of the exit: {"exitN/loss": (nats, n), "exitN/accuracy": (in [0, 1], n)}, with a prefix. The
        numbers are scalars on the device: reading one waits for a GPU."""
        values = {"loss": self.cross_entropy.array, "accuracy": (self.logits.array.argmax(axis=1) == self.t).mean()}
        return {f"{prefix}exit{self.number}/{name}": (value, len(self.t)) for name, value in values.items()}


class Weighting:
    """How the exits' losses are made from what the exits gave. This one is the paper's: cross-entropy, all alike.

    A subclass overrides what it needs. Where several workers train, each sees its own samples only: what is normalised
    over a batch is then normalised over a worker's shard.

    Args:
        net: the `BranchyNet` that is trained, on its device.

    Attributes:
        net: the same.
        link: None, or a `chainer.Link` with parameters of the weighting's own. `losses` leaves their gradients there;
            the training step averages them over the workers, moves them by an Adam of their own with the constants
            of the phase, and keeps parameters and Adam's state in the snapshot.
        needs_features: `ExitOutput.features` is wanted; the last layer of every exit must then be a linear one.
        needs_all_samples: every exit must see every sample: `keep` below 1 is refused.
    """

    link = None
    needs_features = False
    needs_all_samples = False

    def __init__(self, net):
        self.net = net

    def at_exit_point(self, h, number):
        """Called where a branch leaves the trunk.

        Args:
            h: what branch and trunk both go on from, a batch (n, ...): the output of stage `number`, after the layers
                that both would begin with (`BranchyNet.segments`).
            number: of the exit, 1 for the first.

        Returns:
            (what goes into the branch, what goes on along the trunk)
        """
        return fan_out(h)

    def losses(self, exits) -> list:
        """The loss of each exit, before its weight w_n.

        Args:
            exits: list of `ExitOutput`, the last exit last.

        Returns:
            list of Variables (), one for each exit.
        """
        return [exit_output.cross_entropy for exit_output in exits]


def register_weighting(name, replace=False):
    """A decorator that gives a weighting a name.

    What it decorates is a function (list of `ExitOutput`) -> list of Variables (), or a subclass of `Weighting`.

    Args:
        name: for `TrainingSettings.weighting` and `--weighting`.
        replace: this weighting takes the place of one of that name.

    Raises:
        TrainingError: another one has that name.
    """

    def register(weighting):
        WEIGHTINGS.add(name, weighting, replace)
        return weighting

    return register


def make_weighting(weighting, net) -> Weighting:
    """The weighting that a caller means.

    Args:
        weighting: None for the paper's loss, a registered name, a `Weighting` or a subclass of it, or a function
            (list of `ExitOutput`) -> list of Variables ().
        net: a `BranchyNet`.

    Raises:
        TrainingError: there is none of that name, or it is nothing of the kind.
    """
    if isinstance(weighting, str):
        weighting = WEIGHTINGS.get(weighting)
    if isinstance(weighting, type) and issubclass(weighting, Weighting):
        weighting = weighting(net)
    if isinstance(weighting, Weighting):
        if weighting.net is not net:
            raise TrainingError("weighting: expected one that was made for this net, got one for another")
        return weighting
    if weighting is None:
        return Weighting(net)
    if isinstance(weighting, type) or not callable(weighting):
        raise TrainingError(f"weighting: expected a name, a Weighting or a function, got {weighting!r}")
    made = Weighting(net)
    made.losses = weighting  # the function stands in for the method
    return made

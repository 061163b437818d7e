"""Gradient equilibrium (Li et al., "Improved techniques for training adaptive deep networks", arXiv 1908.06294)."""

from __future__ import annotations

from branchynet.functions import scale_gradient
from branchynet.training.weightings.protocol import Weighting, register_weighting


@register_weighting("gradient-equilibrium")
class GradientEquilibrium(Weighting):
    """The gradient of stage i of the trunk is divided by K - i + 1, the number of exits that it adds up.

    So early stages, through which all exits send their gradients, do not get larger ones than late stages. Losses,
    and the gradients of the branches themselves, are the paper's. With a frozen trunk there is nothing to divide.

    At exit point n both ways back are divided by K - n + 1; the gradient from further up, which was divided by K - n
    at the next exit point, is multiplied by K - n first, so that the factors do not pile up.

    Args:
        net: a `BranchyNet` with K exits.
    """

    def at_exit_point(self, h, number):
        """See `Weighting.at_exit_point`."""
        n_after = self.net.n_exits - number
        h = scale_gradient(h, 1 / (n_after + 1))
        return h, scale_gradient(h, n_after)

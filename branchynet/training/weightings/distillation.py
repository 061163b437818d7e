"""Self-distillation: the early exits learn from the last one (Zhang et al., arXiv 1905.08094)."""

from __future__ import annotations

import chainer.functions as F

from branchynet.errors import TrainingError
from branchynet.training.weightings.protocol import Weighting, register_weighting


@register_weighting("distillation")
class Distillation(Weighting):
    """``(1 - a) * cross-entropy + a * tau^2 * KL(last exit || this exit)`` at early exits, cross-entropy at the last.

    KL compares the softmax of the logits divided by tau; tau^2 keeps its gradient in size (Hinton et al., arXiv
    1503.02531). No gradient flows into the last exit through it. The paper's third term, on features, is left out: it
    needs layers that adapt their shapes.

    Args:
        net: a `BranchyNet`.
        a: share in [0, 1] of the last exit's word; 0 is the plain loss.
        tau: temperature > 0.
    """

    needs_all_samples = True

    def __init__(self, net, a=0.5, tau=3.0):
        super().__init__(net)
        if not 0 <= a <= 1:
            raise TrainingError(f"a: expected a share in [0, 1], got {a}")
        if not tau > 0:
            raise TrainingError(f"tau: expected a temperature > 0, got {tau}")
        self.a, self.tau = a, tau

    def losses(self, exits):
        """See `Weighting.losses`."""
        *early, last = exits
        teacher = F.log_softmax(last.logits.array / self.tau).array
        return [self._loss(exit_output, teacher) for exit_output in early] + [last.cross_entropy]

    def _loss(self, exit_output, teacher):
        student = F.log_softmax(exit_output.logits / self.tau)
        xp = exit_output.logits.xp
        divergence = F.sum(xp.exp(teacher) * (teacher - student)) / len(teacher)
        return (1 - self.a) * exit_output.cross_entropy + self.a * self.tau**2 * divergence

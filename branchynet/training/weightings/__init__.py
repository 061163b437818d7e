"""Ways to weigh and to change the exits' losses in joint training (the paper's future work, section V).

One of your own is a function of what the exits gave, registered under a name that `TrainingSettings(weighting=...)` and
the command line's `--weighting` then know::

    @register_weighting("focal")
    def focal(exits):
        return [F.mean((1 - F.exp(-exit.sample_losses)) ** 2 * exit.sample_losses) for exit in exits]

What needs more than that (parameters, the trunk's gradients, the classifiers' inputs) is a class: `Weighting`.
"""

from branchynet.training.weightings.protocol import (
    WEIGHTINGS,
    ExitOutput,
    Weighting,
    make_weighting,
    register_weighting,
)

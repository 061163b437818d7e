"""Training in the paper's two steps (section III-B): the main network alone, then all exits jointly.

Everything runs on Chainer's Trainer, with one optimizer for the trunk and one for each exit. `weightings` holds other
losses for the second step.
"""

from branchynet.training.batches import ShuffledBatches
from branchynet.training.loss import JointLoss, MainLoss
from branchynet.training.run import Data, train_joint, train_main
from branchynet.training.settings import TrainingSettings
from branchynet.training.weightings import ExitOutput, Weighting, register_weighting, weighting_names

__all__ = [
    "Data",
    "ExitOutput",
    "JointLoss",
    "MainLoss",
    "ShuffledBatches",
    "TrainingSettings",
    "Weighting",
    "register_weighting",
    "train_joint",
    "train_main",
    "weighting_names",
]

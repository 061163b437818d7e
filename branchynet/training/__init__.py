"""Training in the paper's two steps (section III-B): the main network alone, then all exits jointly.

Everything runs on Chainer's Trainer, with one optimizer for the trunk and one for each exit.
"""

from branchynet.training.batches import ShuffledBatches
from branchynet.training.loss import JointLoss, MainLoss
from branchynet.training.run import Data, train_joint, train_main
from branchynet.training.settings import TrainingSettings

__all__ = ["Data", "JointLoss", "MainLoss", "ShuffledBatches", "TrainingSettings", "train_joint", "train_main"]

"""Training in the paper's two steps (section III-B): the plain network alone, then all exits jointly.

Everything runs on Chainer's Trainer, with one optimizer for the trunk and one for each exit. `weightings` holds other
losses for the second step. The room knows no command line, and no record of a run.
"""

from branchynet.training.batches import ShuffledBatches
from branchynet.training.loss import JointLoss, PlainLoss
from branchynet.training.run import train_joint, train_longer, train_plain
from branchynet.training.settings import TrainingSettings
from branchynet.training.weightings import WEIGHTINGS, ExitOutput, Weighting, register_weighting

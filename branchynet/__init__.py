"""BranchyNet for Chainer: deep networks with early exits (Teerapittayanon, McDanel, Kung, ICPR 2016)."""

from branchynet import _compat  # first: it makes Chainer importable

# isort: split
from branchynet.inference import Answers, run
from branchynet.links import FL, Branch
from branchynet.net import BranchyNet
from branchynet.serialization import load_plain_network, load_weights, save_weights
from branchynet.thresholds import PercentExits
from branchynet.trained import TrainedNet

__version__ = "0.1.0"

__all__ = [
    "FL",
    "Answers",
    "Branch",
    "BranchyNet",
    "PercentExits",
    "TrainedNet",
    "load_plain_network",
    "load_weights",
    "run",
    "save_weights",
]

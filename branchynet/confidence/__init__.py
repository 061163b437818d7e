"""How sure an exit is of its answer.

A *measure* gives each sample a score, the lower the surer; the paper's is the entropy of the softmax output (section
III-C), the default everywhere. The others are there to compare with it, the ones that the paper names as future work
(section V) among them.
"""

from branchynet.confidence.calibration import CalibratedEntropy
from branchynet.confidence.correctness import CorrectnessNet
from branchynet.confidence.direct import ENTROPY, Energy, Entropy, Margin, MaxProbability, Patience, entropy_of_one
from branchynet.confidence.fitted import FittedMeasure
from branchynet.confidence.logits import entropy, softmax
from branchynet.confidence.measure import Measure, as_measure, measure_class, measure_names, register_measure
from branchynet.confidence.opengan import OpenGan
from branchynet.confidence.openmax import OpenMax
from branchynet.confidence.ranking import auroc

__all__ = [
    "ENTROPY",
    "CalibratedEntropy",
    "CorrectnessNet",
    "Energy",
    "Entropy",
    "FittedMeasure",
    "Margin",
    "MaxProbability",
    "Measure",
    "OpenGan",
    "OpenMax",
    "Patience",
    "as_measure",
    "auroc",
    "entropy",
    "entropy_of_one",
    "measure_class",
    "measure_names",
    "register_measure",
    "softmax",
]

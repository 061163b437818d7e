"""How sure an exit is of its answer.

A *measure* gives each sample a score, the lower the surer. The paper's, and the default everywhere, is the entropy of
the softmax output (section III-C). The others are there to compare with it, among them those that the paper names as
future work (section V). `MEASURES` lists all; it loads the module of a measure when it is asked for. The room knows
logits and labels; it knows no network, no threshold and no data.
"""

from branchynet.confidence.entropy import ENTROPY, Entropy, entropy
from branchynet.confidence.logits import softmax
from branchynet.confidence.measure import Measure
from branchynet.confidence.ranking import auroc
from branchynet.confidence.register import MEASURES, as_measure, register_measure
from branchynet.confidence.reliability import expected_calibration_error, reliability_bins

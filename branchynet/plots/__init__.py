"""The figures of a run and of benchmarks, drawn from their records; the room measures nothing.

Nothing here touches pyplot, so a program that imports this keeps its own backend.
"""

from branchynet.plots.benchmarks import by_batch_size, gains, gains_by_precision, latencies
from branchynet.plots.digits import exits
from branchynet.plots.epochs import training
from branchynet.plots.paper_figures import paper_figures
from branchynet.plots.shares import exit_share
from branchynet.plots.tradeoffs import tradeoff

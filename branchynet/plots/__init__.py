"""The figures of a run and of benchmarks, drawn from their records; the room measures nothing.

Nothing here touches pyplot, so a program that imports this keeps its own backend.
"""

from branchynet.plots.batches import by_batch_size
from branchynet.plots.digits import exits
from branchynet.plots.epochs import training
from branchynet.plots.gains import gains
from branchynet.plots.latency import latencies
from branchynet.plots.paper_figures import paper_figures
from branchynet.plots.precision import gains_by_precision
from branchynet.plots.shares import exit_share
from branchynet.plots.tradeoffs import tradeoff

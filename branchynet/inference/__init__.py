"""Early-exit inference.

`run` is the paper's algorithm on the network itself, written to be read: the reference path, which the other paths are
held against. `compile_net` makes a plan of the network and runs it on an engine: the fast path. The room knows
networks, measures and the rule; it knows no data set, no training and no clock.
"""

from branchynet.inference.compiled import CompiledNet, compile_net, compile_plain
from branchynet.inference.lowering import register_lowering
from branchynet.inference.reference import Answers, record_exits, record_logits, run

"""Early-exit inference.

`run` is the paper's algorithm on the network itself, written to be read; other paths are held against it. `compile`
makes a plan of the network and runs it on an engine: the fast path.
"""

from branchynet.inference.compiled import CompiledNet, compile, compile_plain
from branchynet.inference.lowering import register_lowering
from branchynet.inference.reference import Answers, record_exits, record_logits, run

__all__ = [
    "Answers",
    "CompiledNet",
    "compile",
    "compile_plain",
    "record_exits",
    "record_logits",
    "register_lowering",
    "run",
]

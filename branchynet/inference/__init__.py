"""Early-exit inference. `reference` is the paper's algorithm, written to be read; other paths are held against it."""

from branchynet.inference.reference import Answers, record_exits, run

__all__ = ["Answers", "record_exits", "run"]

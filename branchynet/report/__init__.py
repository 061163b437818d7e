"""A run's table in the paper's layout, its summary for the terminal, and the comparison with what was published."""

from branchynet.records.reference import load_reference
from branchynet.report.bench import benchmark_tables
from branchynet.report.comparison import comparison, gains_of
from branchynet.report.future import future_work, verdict
from branchynet.report.summary import summary
from branchynet.report.table import table
from branchynet.report.table_one import table_one
from branchynet.report.ways_to_train import ways_to_train

__all__ = [
    "benchmark_tables",
    "comparison",
    "future_work",
    "gains_of",
    "load_reference",
    "summary",
    "table",
    "table_one",
    "verdict",
    "ways_to_train",
]

"""A run's table, in the paper's layout next to the paper's and the authors' rows, and its summary for the terminal."""

from branchynet.records.reference import load_reference
from branchynet.report.summary import summary
from branchynet.report.table import table

__all__ = ["load_reference", "summary", "table"]

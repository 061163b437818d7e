"""The scripts import each other, and the study, from the folder that they lie in."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "experiments"))


def pytest_terminal_summary(terminalreporter):
    """Prints what tests measured, of which they assert nothing: times, for instance."""
    for report in (report for found in terminalreporter.stats.values() for report in found):
        for name, value in report.user_properties if getattr(report, "when", "") == "call" else ():
            terminalreporter.write_line(f"{report.nodeid.rpartition('/')[2]}: {name}: {value}")

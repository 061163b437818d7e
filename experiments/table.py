"""The whole of the paper's Table I, with the authors' figures and ours, from the records of runs: table.md."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

from branchynet import records, report
from branchynet.errors import RecordError
from branchynet.experiment import exit_status, nonempty_path

HERE = pathlib.Path(__file__).resolve().parent
RELEASED = HERE / "results" / "released"
REFERENCE = HERE / "reference"


def released_records():
    """The records of all released runs: T at the knee, other seeds, other goals."""
    return sorted(path for pattern in ("*/run.json", "seeds/*.json", "goals/*.json") for path in RELEASED.glob(pattern))


def make_table(paths):
    """The table of the runs whose records lie there, as Markdown."""
    if not paths:
        raise RecordError("expected at least one record of a run, got none: run an experiment first")
    return report.table_one([records.read_run(path) for path in paths], report.load_published(REFERENCE))


def main(argv=None):
    """Writes and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "records",
        nargs="*",
        type=pathlib.Path,
        default=released_records(),
        metavar="RUN.json",
        help="records of runs; those that differ in the seed alone become one row (default: all that are released)",
    )
    parser.add_argument(
        "--out", type=nonempty_path, metavar="DIR", default=HERE / "results" / "table", help="default: %(default)s"
    )
    arguments = parser.parse_args(argv)

    def run():
        out = records.prepare_output(arguments.out)
        text = make_table(arguments.records)
        records.write_text(out / "table.md", text)
        print(text)

    return exit_status("table.py", run)


if __name__ == "__main__":
    sys.exit(main())

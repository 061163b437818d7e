"""The whole of the paper's Table I, with the authors' figures and ours, from the records of runs: table.md."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

from branchynet import records, report
from branchynet.errors import UserError

HERE = pathlib.Path(__file__).resolve().parent
RELEASED = HERE / "results" / "released"


def main(argv=None):
    """Writes and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "records",
        nargs="*",
        type=pathlib.Path,
        metavar="RUN.json",
        help="records of runs; those that differ in the seed alone become one row (default: all that are released)",
    )
    parser.add_argument("--out", metavar="DIR", default=HERE / "results" / "table", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    patterns = ("*/run.json", "seeds/*.json", "goals/*.json")
    paths = arguments.records or sorted(path for pattern in patterns for path in RELEASED.glob(pattern))
    try:
        out = records.prepare_output(arguments.out)
        if not paths:
            raise UserError("expected at least one record of a run, got none: run an experiment first")
        text = report.table_one([records.read_json(path) for path in paths], report.load_reference(HERE / "reference"))
        records.write_text(out / "table.md", text)
    except (UserError, OSError, ValueError) as error:
        print(f"table.py: error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

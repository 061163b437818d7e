"""Paper, authors' notebook and our runs side by side, with the reason for each difference: comparison.md and .png."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

from branchynet import plots, records, report
from branchynet.errors import UserError

HERE = pathlib.Path(__file__).resolve().parent


def main(argv=None):
    """Writes and prints the comparison; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results",
        nargs="*",
        metavar="DIR",
        help="folders of experiments' results (default: those released with the code)",
    )
    parser.add_argument("--out", metavar="DIR", default=HERE / "results" / "comparison", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    folders = [pathlib.Path(folder) for folder in arguments.results]
    folders = folders or sorted(path.parent for path in (HERE / "results" / "released").glob("*/run.json"))
    reference = report.load_reference(HERE / "reference")
    try:
        out = records.prepare_output(arguments.out)
        runs = [records.read_json(folder / "run.json") for folder in folders]
        if not runs:
            raise UserError("expected at least one folder with a run.json, got none: run an experiment first")
        text = report.comparison(runs, reference)
        records.write_text(out / "comparison.md", text)
        comparisons = {
            f"{run['branchy_network']}{report.formats.variant(run)} on {run['dataset']}": report.gains_of(
                run, reference
            )
            for run in runs
        }
        plots.gains(comparisons, out / "comparison.png")
    except (UserError, OSError, ValueError) as error:
        print(f"compare.py: error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

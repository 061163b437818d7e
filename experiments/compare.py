"""Paper, authors' notebook and our runs side by side, with the reason for each difference: comparison.md and .png."""

import argparse
import pathlib
import sys

from table import REFERENCE, RELEASED

from branchynet import plots, records, report
from branchynet.errors import RecordError
from branchynet.experiment import nonempty_path
from branchynet.machine.ending import exit_status

HERE = pathlib.Path(__file__).resolve().parent


def read_runs(folders=()):
    """The records of runs in these folders of results; by default of those that are released."""
    paths = [pathlib.Path(folder) / "run.json" for folder in folders] or sorted(RELEASED.glob("*/run.json"))
    if not paths:
        raise RecordError("expected at least one folder with a run.json, got none: run an experiment first")
    return [records.read_run(path) for path in paths]


def main(argv=None):
    """Writes and prints the comparison; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    text = "folders of experiments' results (default: those released with the code)"
    out = HERE / "results" / "comparison"
    parser.add_argument("results", nargs="*", metavar="DIR", help=text)
    parser.add_argument("--out", type=nonempty_path, metavar="DIR", default=out, help="default: %(default)s")
    arguments = parser.parse_args(argv)

    def run():
        out = records.prepare_output(arguments.out)
        runs, published = read_runs(arguments.results), records.load_published(REFERENCE)
        text = report.comparison(runs, published)
        records.write_text(out / "comparison.md", text)
        titles = [f"{run['branchy_network']}{report.formats.variant(run)} on {run['dataset']}" for run in runs]
        gains = [report.gains_of(run, published) for run in runs]
        plots.gains(list(zip(titles, gains)), out / "comparison.png")
        print(text)

    return exit_status("compare.py", run)


if __name__ == "__main__":
    sys.exit(main())

"""The report of a run, report.html, from its folder; nothing is trained or timed, and run.json stays as it is.

Exit records that the run left are read; where there are none, the run's weights answer the test images once more.
"""

import argparse
import os
import pathlib
import sys

from table import REFERENCE, RELEASED, released_records

from branchynet import datasets, records, serialization
from branchynet.errors import ReportError
from branchynet.experiment import add_quiet, nonempty_path
from branchynet.experiment.recorded import EXIT_RECORDS, REPORT, record_by_measure
from branchynet.machine import terminal
from branchynet.machine.ending import exit_status
from branchynet.report.html import site_page, write_report
from networks import zoo

SCRIPT = "report.py"
# What stands above the table of the released runs: text, file, what is there.
_INTRODUCTION = (
    ("Draw a digit and watch it leave", "page/index.html", "the networks run in the page, on your machine"),
    ("Benchmarks of the engines", "bench/lenet/bench.md", "early exit against the plain network"),
    ("The paper's future work", "future/report.md", "measures of confidence, goals, unknown images"),
)


def make_report(folder, data_dir=None) -> pathlib.Path:
    """Writes the report of the run in a folder; returns its path.

    Raises:
        RecordError, SnapshotError: record or weights of the run are missing or damaged.
        ReportError: a package is not installed, or the data set or the exit records are not those of the run.
    """
    folder = pathlib.Path(folder)
    run = records.read_run(folder / "run.json")
    dataset = datasets.load(run["dataset"], data_dir)
    if dataset.test.sha256() != run.get("dataset_sha256", {}).get("test"):
        raise ReportError(f"{folder}: expected the test images of the run, got others of {run['dataset']}")
    if (folder / f"{EXIT_RECORDS}.npz").exists():
        by_measure = serialization.load_exit_records(folder / EXIT_RECORDS)
    else:
        trained = zoo.load(run["name"], folder)
        by_measure = record_by_measure(trained.net, trained.transform(dataset.test.images), dataset.test.labels)
    path = folder / REPORT
    published = records.load_published(REFERENCE)
    write_report(path, run, published, by_measure, dataset.test.images, dataset.class_names)
    return path


def make_site(data_dir=None) -> pathlib.Path:
    """Writes the reports of the released runs that have weights, and the page that lists all; returns its path."""
    for name in terminal.counted("reports", zoo.released_names(), "run"):
        print(make_report(RELEASED / name, data_dir))
    entries = []
    for path in released_records():
        links = {"report": path.with_name(REPORT)} if path.with_name(REPORT).exists() else {}
        links["record"] = path
        relative = {text: os.path.relpath(target, RELEASED).replace(os.sep, "/") for text, target in links.items()}
        entries.append((records.read_run(path), relative))
    entries.sort(key=lambda entry: ("report" not in entry[1], entry[0]["name"] != "lenet"))
    path = RELEASED / "index.html"
    records.write_text(path, site_page(entries, [line for line in _INTRODUCTION if (RELEASED / line[1]).exists()]))
    return path


def main(argv=None):
    """Writes the reports; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="FOLDER", help="of results, with run.json")
    parser.add_argument("--site", action="store_true", help="of all released runs, and the page that lists them")
    parser.add_argument("--data-dir", type=nonempty_path, metavar="DIR", help="folder of the data sets")
    add_quiet(parser)
    options = parser.parse_args(argv)
    if not options.folders and not options.site:
        parser.error("expected a folder of results, or --site, got neither")

    def run():
        for folder in options.folders:
            print(make_report(folder, options.data_dir))
        if options.site:
            print(make_site(options.data_dir))

    stopped = "stopped; reports are whole, new or as they were; the same command makes all"
    return exit_status(SCRIPT, run, stopped, quiet=options.quiet)


if __name__ == "__main__":
    sys.exit(main())

"""The whole of the paper's Table I, with the authors' figures and ours, from the records of runs: table.md.

Its half on a GPU comes from the records of `make bench-gpu`, where there are any.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

from branchynet import records, report
from branchynet.errors import RecordError
from branchynet.experiment import existing_folder, nonempty_path
from branchynet.machine.ending import exit_status
from branchynet.serialization import read_description

HERE = pathlib.Path(__file__).resolve().parent
RELEASED = HERE / "results" / "released"
REFERENCE = HERE / "reference"


def released_records():
    """The records of all released runs, those of other seeds last."""
    return sorted(path for pattern in ("*/run.json", "seeds/*/run.json") for path in RELEASED.glob(pattern))


def make_table(paths, on_gpu=RELEASED / "bench-gpu"):
    """The table of the runs whose records lie there, in folders of results or as files, as Markdown; behind it that of
    the benchmarks in a folder."""
    if not paths:
        raise RecordError("expected at least one record of a run, got none: run an experiment first")
    published = records.load_published(REFERENCE)
    runs = [records.read_run(path / "run.json" if path.is_dir() else path) for path in paths]
    text = report.table_one(runs, published)
    runs = gpu_runs(on_gpu)
    return f"{text}\n### On a GPU\n\n{report.table_one(runs, published)}" if runs else text


def gpu_runs(folder):
    """The benchmarks of released weights on a GPU, each in the form of a run's record.

    How accurate the plain network is and how T was chosen are of the run that the weights come from; all else was
    measured on the GPU.

    Raises:
        RecordError: a benchmark is damaged, or of other weights.
    """
    runs = []
    for path in sorted(folder.glob("*/bench.json")):
        found = records.read_json(path)
        try:
            runs.append(_gpu_run(found))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            expected = f"{path}: expected a benchmark of released weights"
            raise RecordError(f"{expected}, got one of others or a damaged one: {error!r}") from error
    return runs


def _gpu_run(found):
    """One of them, from the content of its bench.json."""
    run = RELEASED / str(found["network"])
    if not (run / "run.json").exists() or found["weights_sha256"] != read_description(run / "weights")["sha256"]:
        raise ValueError("the weights are not those released")
    measured = {"split": "test", **found["measured"]}
    measured |= {key: found[key] for key in ("accuracy_pct", "thresholds", "exit_pct")}
    of_gpu = {key: found[key] for key in ("environment", "engine", "command")}
    more = {"device": "gpu", "measured": measured, "operating_points": []}  # those were timed on the CPU
    made = {**records.read_run(run / "run.json"), **of_gpu, **more}
    if list(made["choice"]["thresholds"]) != list(found["thresholds"]):
        made["choice"] = {**made["choice"], "goal": None}  # T was given to the benchmark
    records.check_run(made)
    return made


def main(argv=None):
    """Writes and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    text = "folders of results, or their run.json; runs that differ in the seed alone are one row (default: released)"
    add, released, out = parser.add_argument, released_records(), HERE / "results" / "table"
    add("records", nargs="*", type=pathlib.Path, default=released, metavar="FOLDER", help=text)
    add("--out", type=nonempty_path, metavar="DIR", default=out, help="default: %(default)s")
    text = "folder of benchmarks on a GPU (default: those released, where there are any)"
    add("--gpu", type=existing_folder, metavar="DIR", default=RELEASED / "bench-gpu", help=text)
    arguments = parser.parse_args(argv)

    def run():
        out = records.prepare_output(arguments.out)
        text = make_table(arguments.records, arguments.gpu)
        records.write_text(out / "table.md", text)
        print(text)

    return exit_status("table.py", run)


if __name__ == "__main__":
    sys.exit(main())

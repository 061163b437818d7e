"""Writes the tables of README.md and docs/*.md from the committed records, between the marks of their blocks.

A block stands between the lines `<!-- generated: NAME -->` and `<!-- end -->`; `BLOCKS` says what each NAME holds.
"""

import argparse
import math
import os
import pathlib
import re
import sys

from compare import read_runs
from future.ways_to_train import ways_to_train
from table import REFERENCE, RELEASED, make_table, released_records

from branchynet import records, report
from branchynet.errors import RecordError
from branchynet.machine.ending import exit_status
from branchynet.report import formats

ROOT = pathlib.Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"<!-- generated: (.*?) -->\n(.*?)(<!-- end -->|(?=<!-- generated:)|\Z)", re.DOTALL)
# The released networks that stand for the paper's three, in its order.
_ON_THE_FRONT = ("lenet", "alexnet-paper", "alexnet-authors", "resnet-110", "resnet-110-paper", "resnet-20")
# Our engine checks what comes in and counts exits: gains of ONNX Runtime are over a session of its own without that.
_LEANEST = "ONNX Runtime itself, plain net"


def front_table():
    """The paper's three networks, theirs and ours."""
    runs = [records.read_run(path) for path in released_records()]
    ours = [run for run in runs if run["name"] in _ON_THE_FRONT and run["choice"]["goal"] == "knee"]
    ours.sort(key=lambda run: _ON_THE_FRONT.index(run["name"]))
    return report.front_table(ours, records.load_published(REFERENCE))


def equal_accuracy():
    """Of each released run that has them, T by what it is for, against the plain network trained as long."""
    runs = [records.read_run(path) for path in released_records()]
    runs = [run for run in runs if run.get("operating_points") and run["choice"]["goal"] == "knee"]
    lines = []
    for run in sorted(runs, key=lambda run: (_ON_THE_FRONT + (run["name"],)).index(run["name"])):
        plain = f"{run['name']}, seed {run['seed']}"
        lines.append(
            [plain, "plain network, as long", "", formats.accuracy(run["baselines"][0]["accuracy_pct"]), *[""] * 5]
        )
        lines += [[plain, *report.operating_cells(point)] for point in report.operating_points(run)]
    table = formats.markdown_table(("Network", *report.OPERATING_HEADINGS), lines)
    return f"{table}\n\n{machines(runs)}"


def precision():
    """Early exit's gain by engine and precision."""
    record = records.read_json(RELEASED / "precision" / "precision.json")
    return f"{report.precision_table(record)}\n\n{machines([record])} `{record['command']}`."


def comparison():
    """Paper, notebook and ours, with the reasons; the title is the page's, whose headings are one level higher."""
    text = report.comparison(read_runs(), records.load_published(REFERENCE))
    return text.split("\n", 1)[1].replace("\n## ", "\n### ")


def training_speed():
    """Time and memory of a joint training step, of everything that was timed."""
    made = read_all("benchmarks/training-*.json")
    by_name = [{row["name"]: row for row in record["contenders"]} for record in made]
    headings, rows = ["Contender"], [[name] for name in by_name[0]]
    for record, contenders in zip(made, by_name):
        title = f"{record['network']}, batch {record['batch_size']}"
        headings += [f"{title} (ms a sample)", "Time, relative", "Peak memory (MB)"]
        for row in rows:
            found = contenders[row[0]]
            memory = found["peak_memory_mb"]
            relative = formats.gain(found["time_ratio"]).replace("x", "")
            row += [formats.ms(found["ms_per_sample"]["median"]), relative, f"{memory:.0f}" if memory else ""]
    to = made[0]["contenders"][0]["time_ratio"]["to"]
    words = f"Median of a step; relative to {to}, with its 95 % bootstrap interval."
    return f"{formats.markdown_table(headings, rows)}\n\n{words} {machines(made)}"


def inference_speed():
    """Mean time of a sample on the CPU, of every contender, network and batch size."""
    return speed_table(read_all("bench/*/bench.json"))


def gpu_speed():
    """Plain Chainer and the kernels on a GPU, a table for each network; or that no GPU has measured this."""
    if not list(RELEASED.glob("bench-gpu/*/bench.json")):
        return "Not measured: there is no record yet. `make bench-gpu` runs the GPU's tests and writes the records."
    made = read_all("bench-gpu/*/bench.json")
    return "\n\n".join([*map(_gpu_table, made), machines(made)])


def _gpu_table(record):
    """Mean time of a sample by batch size and by where the samples lie, of one network."""
    rows = {(row["samples_in"], row["name"], row["batch_size"]): row for row in record["rows"]}
    batch_sizes = sorted({size for _, _, size in rows})
    lines = []
    for place in dict.fromkeys(place for place, _, _ in rows):
        for name in ("plain Chainer, plain net", "cuda, plain net", "cuda, early exit"):
            found = [rows.get((place, name, size), {}) for size in batch_sizes]
            if any(found):
                lines.append([place, name, *(formats.mean_ms(row.get("ms_per_sample")) for row in found)])
        early = [rows.get((place, "cuda, early exit", size), {}) for size in batch_sizes]
        gains = [row.get("gain_over", {}).get("cuda, plain net") for row in early]
        lines.append([place, "gain of early exit", *map(formats.gain, gains)])
    headings = ["Samples in", f"{record['network']}, mean ms a sample", *(f"batch {size:,}" for size in batch_sizes)]
    return formats.markdown_table(headings, lines)


def speed_table(made):
    """Mean time of a sample, of every contender, network and batch size of some records."""
    cells = {(record["network"], row["batch_size"], row["name"]): row for record in made for row in record["rows"]}
    columns = list(dict.fromkeys(key[:2] for key in cells))
    names = list(dict.fromkeys(key[2] for key in cells))
    lines = [
        [name, *(formats.mean_ms(cells.get((*column, name), {}).get("ms_per_sample")) for column in columns)]
        for name in names
    ]
    for name in names:
        own = name.replace("early exit", "plain net")
        plain = _LEANEST if own == "onnxruntime, plain net" and _LEANEST in names else own
        if own != name and plain in names:
            gains = [cells.get((*column, name), {}).get("gain_over", {}).get(plain) for column in columns]
            lines.append([f"gain of {name}, over {plain}", *map(formats.gain, gains)])
    limits = {record["network"]: record["limits"]["multiply_add_limit_of_gain"] for record in made}
    lines.append(["the multiply-adds allow a gain of", *(formats.gain(limits[network]) for network, _ in columns)])
    n_batches = {key[:2]: row["n_batches"] for key, row in cells.items()}  # the same for all that were timed in turn
    lines.append(["batches timed", *(f"{n_batches[column]:,}" for column in columns)])
    headings = ["Mean ms a sample", *(f"{network}, batch {batch_size}" for network, batch_size in columns)]
    return f"{formats.markdown_table(headings, lines)}\n\n{machines(made)}"


def training_ways():
    """Every comparison of ways to train, by network and length."""
    parts = []
    for record in read_all("compare-training/*/compare_training.json"):
        seeds = "seed" if len(record["seeds"]) == 1 else "seeds"
        words = f"{record['epochs']} epochs, {seeds} {', '.join(map(str, record['seeds']))}"
        parts += [f"**{record['network']}**, {words} (`{record['command']}`):", ways_to_train(record)]
    return "\n\n".join(parts)


def future_measures():
    """Every measure of confidence on AlexNet, at the time of entropy's knee."""
    record = records.read_json(RELEASED / "future" / "future.json")
    network = {network["name"]: network for network in record["networks"]}["alexnet-paper"]
    knee = network["reference"]["test"]
    lines = [[f"entropy's knee ({knee['accuracy_pct']:.2f} % in {formats.ms(knee['cost'])} ms)", "", ""]]
    for row in sorted(network["measures"], key=points_over_the_knee, reverse=True):
        name = f"{row['name']}, T of any value" if row["name"] == "entropy" else row["name"]
        points = "not so fast"
        if row["at_equal_ms"] is not None:
            error = row["at_equal_ms"]["difference"]["standard_error_points"]
            points = f"{round(points_over_the_knee(row), 2) + 0:+.2f} ± {error:.2f}"  # the sum makes +0.00 of -0.00
        lines.append([name, points, ", ".join("-" if area is None else f"{area:.3f}" for area in row["auroc"])])
    headings = ("B-AlexNet, at the ms of entropy's knee", "Accuracy less the knee's (points)", "AUROC by exit")
    return f"{formats.markdown_table(headings, lines)}\n\n{machines([record])}"


def points_over_the_knee(row):
    """How much more accurate a measure is than entropy's knee at equal time; what is never so fast comes last."""
    return -math.inf if row["at_equal_ms"] is None else row["at_equal_ms"]["difference"]["points"]


def paper_figures():
    """What figures 4, 5 and 6 of the paper show, ours and what was published of the same."""
    record = records.read_json(RELEASED / "figures" / "figures.json")
    text = report.paper_figures(record, records.load_published(REFERENCE))
    return f"{text}\n\n{machines([record])} `{record['command']}`."


def matrix():
    """The tests on several versions of Python and NumPy."""
    try:
        return (ROOT / "tests" / "matrix.md").read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"tests/matrix.md: expected the result of `make matrix`: {error.strerror}") from error


def campaigns():
    """What the long campaigns of tests/campaigns.py and tests/mutants.py found."""
    made = records.read_json(ROOT / "tests" / "campaigns.json")
    lines = [[name, found["date"], found["commit"], _of_campaign(found)] for name, found in sorted(made.items())]
    return formats.markdown_table(("Campaign", "Date", "Commit", "Found"), lines)


def _of_campaign(found):
    """The figures of a campaign, in words."""
    n, errors = found["tried"], len(found.get("errors", ()))
    if "noticed" in found:
        return f"{found['noticed']:,} of {n:,} noticed, the others change nothing that is read; {errors} wrong"
    if "equal" in found:
        return (
            f"of {found['operations']} operations on files, {n} tried: {found['equal']} resumed equal, {errors} did not"
        )
    killed, n_harmful = found["killed"], n - found["harmless"]
    words = f"{killed} of {n_harmful} killed ({100 * killed / n_harmful:.0f} %)"
    if n < found["mutants"]:
        from scipy.stats import binomtest  # takes a while to load

        interval = binomtest(killed, n_harmful).proportion_ci(method="exact")
        words += f", a sample of {found['mutants']}: {100 * interval.low:.0f}–{100 * interval.high:.0f} %"
    return f"{words}; {n_harmful - killed} alive, {found['harmless']} more harmless"


BLOCKS = {
    "front-table": front_table,
    "table-one": lambda: make_table(released_records()),
    "equal-accuracy": equal_accuracy,
    "comparison": comparison,
    "training-speed": training_speed,
    "inference-speed": inference_speed,
    "gpu-speed": gpu_speed,
    "gain-by-precision": precision,
    "ways-to-train": training_ways,
    "future-measures": future_measures,
    "paper-figures": paper_figures,
    "matrix": matrix,
    "campaigns": campaigns,
}


def read_all(pattern):
    """The released records of one kind, in the paper's order of networks, then by the names of files and folders."""
    paths = sorted(RELEASED.glob(pattern))
    if not paths:
        raise RecordError(f"{RELEASED / pattern}: expected at least one record, got none")
    order = {family(name): place for place, name in enumerate(_ON_THE_FRONT)}
    made = map(records.read_json, paths)
    return sorted(made, key=lambda record: order.get(family(record["network"]), len(order)))


def family(network):
    """ "alexnet" of "AlexNet" and of "alexnet-paper"."""
    return network.lower().split("-")[0]


def machines(made):
    """What the records were made on, as one sentence."""
    words = {
        f"{formats.machine({'device': 'cpu', **record})}; {formats.versions(record['environment'])}": None
        for record in made
    }
    return f"Machine: {'; '.join(words)}."


def fill(text):
    """Writes every block of a page anew.

    Returns:
        (text, names of the blocks that changed)

    Raises:
        RecordError: there is no block of that name, a block is not closed, or a record is missing or lacks a key.
    """
    changed = []

    def write(match):
        name, old, end = match.groups()
        if name not in BLOCKS:
            raise RecordError(f"{name}: expected a block of {', '.join(BLOCKS)}")
        if not end:
            raise RecordError(f"{name}: expected <!-- end --> below the block, got none")
        try:
            new = f"\n{BLOCKS[name]().strip()}\n\n"
        except KeyError as error:
            raise RecordError(f"{name}: a record lacks the key {error}") from error
        if new != old:
            changed.append(name)
        return f"<!-- generated: {name} -->\n{new}{end}"

    return _BLOCK.sub(write, text), changed


def main(argv=None):
    """Writes the blocks, or checks them; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    parser.add_argument("pages", nargs="*", type=pathlib.Path, default=pages, help="default: README.md and docs/*.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a block is out of date")
    arguments = parser.parse_args(argv)
    stale = []

    def run():
        for page in arguments.pages:
            name = os.path.relpath(page)
            try:
                text, changed = fill(page.read_text(encoding="utf-8"))
            except (OSError, RecordError) as error:
                raise RecordError(f"{name}: {error}") from error
            stale.extend(f"{name}: {block}" for block in changed)
            if changed and not arguments.check:
                records.write_text(page, text)

    status = exit_status("docs.py", run)
    words = "differs from the records: make docs" if arguments.check else "written"
    for block in stale:
        print(f"{block} {words}", file=sys.stderr if arguments.check else sys.stdout)
    return status or int(arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

"""The table of a run as Markdown: the paper's Table I, with both clocks, next to the paper's and the authors' rows."""

from __future__ import annotations

from branchynet.records.reference import select
from branchynet.report import formats

_HEADINGS = ("Source", "Network", "Acc. (%)", "Time (ms)", "Gain", "Thrshld. T", "Exit (%)")
_NOTE_OF_OURS, _NOTE_OF_PAPER, _NOTE_OF_AUTHORS, _NOTE_OF_CHOICE, _NOTE_OF_CLOCK = "abcde"


def table(run: dict, reference: dict) -> str:
    """The table of a run.

    Args:
        run: a run's record (`branchynet.records`).
        reference: tables of the paper and the authors, as of `load_reference`.

    Returns:
        Markdown: the table in the paper's layout, the latency of each path, and notes.
    """
    published = select(run, reference)
    rows = [*_our_rows(run), *_paper_rows(published, run["device"]), *_authors_rows(published)]
    names = f"{run['network']} and {run['branchy_network']}{formats.variant(run)}"
    title = f"### {names} on {run['dataset']}, {run['device'].upper()}"
    parts = [
        title,
        markdown_table(_HEADINGS, rows),
        "Latency of one sample, in ms, end to end unless said otherwise:",
        markdown_table(
            ("Path", "Mean", "p50", "p90", "p99", "Validation acc. (%)", "Test acc. (%)"), _latency_rows(run)
        ),
        "\n".join(_notes(run, published)),
    ]
    return "\n\n".join(parts) + "\n"


def _our_rows(run):
    source = f"This run ({_NOTE_OF_OURS})"
    rows = [
        [source, row["name"], formats.accuracy(row["accuracy_pct"]), formats.mean_ms(row["latency_ms"]), "", "", ""]
        for row in run["baselines"]
    ]
    measured = run["measured"]
    for clock, gain, name, note in (
        ("end_to_end", "end_to_end_gain", "end to end, gain on the same engine", ""),
        ("end_to_end", "gain_over_chainer", "end to end, gain over plain Chainer", ""),
        ("paper_clock", "paper_clock_gain", "paper's clock", _NOTE_OF_CLOCK),
    ):
        rows.append(
            [
                source,
                f"{run['branchy_network']}, {name}" + (f" ({note})" if note else ""),
                formats.accuracy(measured["accuracy_pct"]),
                formats.mean_ms(measured[f"{clock}_ms"]),
                formats.gain(measured[gain]),
                formats.thresholds(measured["thresholds"]),
                formats.exit_shares(measured["exit_pct"], decimals=2),
            ]
        )
    return [*rows, _paper_way_row(run, source)]


def _paper_way_row(run, source):
    """T chosen on the test split: accuracy and shares as recorded, time as computed for that point of the sweep."""
    setting = run["choice"]["paper_way"]
    at_setting = (
        point for point in run["points"] if (point["split"], point["thresholds"]) == ("test", setting["thresholds"])
    )
    point = next(at_setting, {})
    return [
        source,
        f"{run['branchy_network']}, end to end, T chosen on test ({_NOTE_OF_CHOICE})",
        formats.accuracy(setting["accuracy_pct"]),
        formats.ms(point.get("end_to_end_ms")),
        formats.gain(point.get("end_to_end_gain")),
        formats.thresholds(setting["thresholds"]),
        formats.exit_shares(setting["exit_pct"], decimals=2),
    ]


def _paper_rows(published, device):
    return [
        published_row(f"Paper, {device.upper()} ({_NOTE_OF_PAPER})", row)
        for row in (published.paper_baseline, published.paper_branchy)
        if row is not None
    ]


def _authors_rows(published):
    return [
        published_row(f"Authors' notebook ({_NOTE_OF_AUTHORS})", row)
        for row in (published.authors_baseline, published.authors_chosen)
        if row is not None
    ]


def published_row(source, row) -> list:
    """The cells of a published row, from source to exits, in the columns of the paper's table."""
    return [
        source,
        row["network"],
        formats.accuracy(row["accuracy_pct"]),
        f"{row['time_ms']:g}",
        formats.published_gain(row["gain"]),
        formats.thresholds(row["thresholds"]),
        formats.exit_shares(row["exit_pct"]),
    ]


def _latency_rows(run):
    rows = [
        [baseline["name"], *_latency_cells(baseline["latency_ms"]), "", formats.accuracy(baseline["accuracy_pct"])]
        for baseline in run["baselines"]
    ]
    for entry in run["exits"]:
        accuracies = [formats.accuracy(entry["accuracy_pct"][split]) for split in ("validation", "test")]
        name = f"{run['branchy_network']}, all leave at exit {entry['exit']}"
        rows.append([name, *_latency_cells(entry["latency_ms"]), *accuracies])
        rows.append([f"{name}, paper's clock", *_latency_cells(entry["paper_clock_ms"]), *accuracies])
    measured = run["measured"]
    at_choice = f"{run['branchy_network']}, T = {formats.thresholds(measured['thresholds'])}"
    last_cells = ["", formats.accuracy(measured["accuracy_pct"])]
    rows.append([at_choice, *_latency_cells(measured["end_to_end_ms"]), *last_cells])
    rows.append([f"{at_choice}, paper's clock", *_latency_cells(measured["paper_clock_ms"]), *last_cells])
    return rows


def _latency_cells(latency):
    return [formats.ms((latency or {}).get(key)) for key in ("mean", "p50", "p90", "p99")]


def _notes(run, published):
    environment, choice = run["environment"], run["choice"]
    notes = [
        f"- ({_NOTE_OF_OURS}) Accuracy and exits: the whole test split; time: mean over "
        f"{run['measured']['n_samples_timed']} of its samples, one at a time, the baseline and the branchy network in "
        f"turn; gain with its 95 % bootstrap interval. {formats.machine(run)}; "
        f"engine {run['engine']}; preset {run['preset']}, seed {run['seed']}; `{run['command']}`; "
        f"{formats.commit(environment)}; {formats.versions(environment)}; {environment.get('utc', 'no date')}. "
        f"T was chosen on the {choice['split']} split: {choice['rule']}.",
        f"- ({_NOTE_OF_CHOICE}) The paper's way: the knee of the sweep on the test split itself, so its accuracy "
        "is optimistic. The time is computed from the shares and the latency of each exit.",
        f"- ({_NOTE_OF_CLOCK}) Plain Chainer, with only the trunk inside the clock; branches, softmax, entropy and the "
        "exit rule are outside, the baseline is timed whole. End to end is all that a caller waits for.",
    ]
    if published.paper_branchy is not None:
        machine = {"cpu": "a 3.0 GHz CPU", "gpu": "an NVIDIA Titan X (Maxwell)"}[run["device"]]
        notes.append(
            f"- ({_NOTE_OF_PAPER}) Table I, on {machine}; T was chosen on the test set. The times are taken to be by "
            f"the clock of the authors' code ({_NOTE_OF_CLOCK})."
        )
    if published.authors_chosen is not None:
        notes.append(
            f"- ({_NOTE_OF_AUTHORS}) Output saved in the notebook that came with the authors' code, on a machine not "
            f"named there; {_which_row(published)}; their clock ({_NOTE_OF_CLOCK}); the sweep is on the test set."
        )
    if published.paper_branchy is None:
        notes.append(f"- The paper's table has no row for {run['network']} on {run['dataset']}.")
    if published.authors_chosen is None:
        notes.append(f"- The authors' notebooks have no figures for {run['network']} on {run['dataset']}.")
    return sorted(notes, key=lambda note: (not note.startswith("- ("), note[:5]))


def _which_row(published):
    paper, row = published.paper_branchy, published.authors_chosen
    if paper is not None and paper["thresholds"] == row["thresholds"]:
        return "the row at the paper's T"
    return "its most accurate row"


def markdown_table(headings, rows) -> str:
    """A Markdown table, with the columns in line in the source as well."""
    lines = [list(headings), *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)

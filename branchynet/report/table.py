"""The table of a run as Markdown: the paper's Table I, with both clocks, next to the paper's and the authors' rows."""

from branchynet.records.published import select
from branchynet.report import formats
from branchynet.report.rows import PAPERS_CLOCK, SAME_ENGINE, baseline_rows, chosen_on_test, our_rows, published_rows

HEADINGS = ("Source", "Network", "Acc. (%)", "Time (ms)", "Gain", "Thrshld. T", "Exit (%)")
_PATH_HEADINGS = ("Path", "Mean", "p50", "p90", "p99", "Validation acc. (%)", "Test acc. (%)")
OPERATING_HEADINGS = (
    *("T for", "Thrshld. T", "Acc. (%)", "Less the plain net's (points)", "p", "Exit (%)"),
    *("Gain end to end", "Gain, paper's clock"),
)
_NOTE_OF_OURS, _NOTE_OF_PAPER, _NOTE_OF_AUTHORS, _NOTE_OF_CHOICE, _NOTE_OF_CLOCK = "abcde"


def table(run: dict, published: dict) -> str:
    """The table of a run.

    Returns:
        Markdown: the table in the paper's layout, the latency of each path, and notes.
    """
    names = f"{run['network']} and {run['branchy_network']}{formats.variant(run)}"
    parts = [
        f"### {names} on {run['dataset']}, {run['device'].upper()}",
        formats.markdown_table(HEADINGS, [*_our_cells(run), *_published_cells(run, published)]),
        "Latency of one sample, in ms, end to end unless said otherwise:",
        formats.markdown_table(_PATH_HEADINGS, _path_cells(run)),
        *_against_plain(run),
        "\n".join(_notes(run, select(run, published))),
    ]
    return "\n\n".join(parts) + "\n"


def _our_cells(run):
    on_test = chosen_on_test(run)
    rows = [(row, row.network) for row in baseline_rows(run)]
    for row in our_rows(run):
        note = f" ({_NOTE_OF_CLOCK})" if row.clock is PAPERS_CLOCK else ""
        rows.append((row, f"{row.network}, {row.clock.words}{note}"))
    rows.append((on_test, f"{on_test.network}, {SAME_ENGINE.short}, T chosen on test ({_NOTE_OF_CHOICE})"))
    return [[f"This run ({_NOTE_OF_OURS})", network, *row.cells(2)] for row, network in rows]


def _published_cells(run, published):
    notes = {"Paper": f", {run['device'].upper()} ({_NOTE_OF_PAPER})", "Authors' notebook": f" ({_NOTE_OF_AUTHORS})"}
    rows = published_rows(run, published)
    return [[f"{row.source}{notes[row.source]}", row.network, *row.cells(2)] for row in rows]


def _path_cells(run):
    """Latency and accuracy of the plain networks, of every exit if all leave there, and at the chosen T."""
    paths = [(row["name"], row["latency_ms"], "", row["accuracy_pct"]) for row in run["baselines"]]
    for entry in run["exits"]:
        name, accuracy = f"{run['branchy_network']}, all leave at exit {entry['exit']}", entry["accuracy_pct"]
        shown = formats.accuracy(accuracy["validation"]), accuracy["test"]
        paths += [(name, entry["latency_ms"], *shown), (f"{name}, paper's clock", entry["paper_clock_ms"], *shown)]
    measured = run["measured"]
    name = f"{run['branchy_network']}, T = {formats.thresholds(measured['thresholds'])}"
    paths.append((name, measured["end_to_end_ms"], "", measured["accuracy_pct"]))
    paths.append((f"{name}, paper's clock", measured["paper_clock_ms"], "", measured["accuracy_pct"]))
    keys = ("mean", "p50", "p90", "p99")
    return [
        [name, *(formats.ms((latency or {}).get(key)) for key in keys), validation, formats.accuracy(test)]
        for name, latency, validation, test in paths
    ]


def _against_plain(run):
    """Settings of T against the plain network that was trained as long; nothing for a record that lacks them."""
    rows = [operating_cells(point) for point in operating_points(run)]
    if not rows:
        return []
    plain = formats.accuracy(run["baselines"][0]["accuracy_pct"])
    title = f"Against the plain network trained as long ({plain} %), on the same test images; T by what it is for:"
    return [title, formats.markdown_table(OPERATING_HEADINGS, rows)]


def operating_points(run: dict) -> list:
    """The chosen setting of a run and the others that were timed; nothing of a record that lacks those."""
    others = run.get("operating_points")
    return [{"name": "chosen", **run["measured"]}, *others] if others else []


def operating_cells(point: dict) -> list:
    """The figures of an entry of a record's operating_points, as text, for `OPERATING_HEADINGS`."""
    if point["thresholds"] is None:
        return [point["name"], "none", *[""] * (len(OPERATING_HEADINGS) - 2)]
    compared = point["against_plain"]
    return [
        point["name"],
        formats.thresholds(point["thresholds"]),
        formats.accuracy(point["accuracy_pct"]),
        f"{compared['difference_pct']:+.2f} ({compared['low']:+.2f} to {compared['high']:+.2f})",
        f"{compared['p']:.2g}",
        formats.exit_shares(point["exit_pct"], 1),
        *(formats.gain(point[clock.gain]) for clock in (SAME_ENGINE, PAPERS_CLOCK)),
    ]


def _notes(run, published):
    """What the rows mean, and where they come from; those with a letter first."""
    environment, choice = run["environment"], run["choice"]
    network = f"{run['network']} on {run['dataset']}"
    paper, authors = published.paper_branchy, published.authors_chosen
    notes = [
        f"- ({_NOTE_OF_OURS}) Accuracy and exits: the whole test split; time: mean over {_timed(run['measured'])}. "
        f"{formats.machine(run)}; "
        f"engine {run['engine']}; preset {run['preset']}, seed {run['seed']}; `{run['command']}`; "
        f"{formats.commit(environment)}; {formats.versions(environment)}; {environment.get('utc') or 'no date'}. "
        f"T was chosen on the {choice['split']} split: {choice['rule']}.{_uncertainty(choice)}",
        f"- ({_NOTE_OF_CHOICE}) Chosen on the test split itself, as the paper did: the knee of the sweep there, so its "
        "accuracy is optimistic. The time is computed from the shares and the latency of each exit.",
        f"- ({_NOTE_OF_CLOCK}) Plain Chainer, with only the trunk inside the clock; branches, softmax, entropy and the "
        "exit rule are outside, the baseline is timed whole. End to end is all that a caller waits for.",
    ]
    if paper is None:
        notes.append(f"- The paper's table has no row for {network}.")
    else:
        machine = {"cpu": "a 3.0 GHz CPU", "gpu": "an NVIDIA Titan X (Maxwell)"}[run["device"]]
        notes.append(
            f"- ({_NOTE_OF_PAPER}) Table I, on {machine}; T was chosen on the test set. The times are taken to be by "
            f"the clock of the authors' code ({_NOTE_OF_CLOCK})."
        )
    if authors is None:
        notes.append(f"- The authors' notebooks have no figures for {network}.")
    else:
        is_papers = paper is not None and paper["thresholds"] == authors["thresholds"]
        which = "the row at the paper's T" if is_papers else "its most accurate row"
        notes.append(
            f"- ({_NOTE_OF_AUTHORS}) Output saved in the notebook that came with the authors' code, on a machine not "
            f"named there; {which}; their clock ({_NOTE_OF_CLOCK}); the sweep is on the test set."
        )
    return sorted(notes, key=lambda note: (not note.startswith("- ("), note[:5]))


def _timed(measured):
    """What the times of the chosen setting rest on."""
    n_processes, mix = measured.get("n_processes_timed", 1), measured.get("timed_exit_pct")
    words = "95 % bootstrap interval"
    if n_processes > 1:
        words = f"95 % interval by t over the {n_processes} processes that timed it, started one by one"
    shares = f", of which {formats.exit_shares(mix, 1)} % leave at each exit" if mix else ""
    plain, chainer = formats.mean_ms(measured["plain_ms"]), formats.mean_ms(measured["plain_chainer_ms"])
    return (
        f"{measured['n_samples_timed']} of its samples{shares}, one at a time, the baseline and the branchy network in "
        f"turn; gain over the {plain} ms that the plain network took then ({chainer} ms in plain Chainer; the table "
        "of latencies is from the timing of each exit before; step 1 and the joint one's last exit are that network "
        f"with other weights, and were not timed by themselves), with its {words}"
    )


def _uncertainty(choice):
    """How T would differ with other validation samples; nothing for a record that lacks it."""
    found = choice.get("uncertainty")
    if not found:
        return ""
    words = (
        f" Chosen anew on {found['n_resamples']} resamples of it, T is another one in {found['another_T_pct']:.0f} %"
        + (f", and none serves the goal in {found['none_pct']:.0f} %" if found["none_pct"] else "")
    )
    accuracy, cost = found["accuracy_pct"], found["relative_cost"]
    if accuracy is None or cost is None:
        return words + "."
    return (
        f"{words}; 95 % of these T give {accuracy['low']:.2f} to {accuracy['high']:.2f} % on the test split, at "
        f"{cost['low']:.2f} to {cost['high']:.2f} times the expected cost (computed): no interval above holds that."
    )

"""The whole of Table I of the paper: paper, authors' notebook and our runs, by both clocks; seeds with intervals."""

import json
import statistics

from branchynet.records.published import DATASETS
from branchynet.report import formats
from branchynet.report.rows import OVER_CHAINER, PAPERS_CLOCK, SAME_ENGINE, our_rows, published_pair, published_rows
from branchynet.report.table import HEADINGS

_CLOCKS = (PAPERS_CLOCK, SAME_ENGINE, OVER_CHAINER)
_FRONT_HEADINGS = (
    *("Network", "Acc. plain (%)", "Acc. branchy (%)", "Plain (ms)", "Branchy (ms)", "Gain, paper's clock"),
    *("Gain, end to end", "Gain, equal acc.", "Exit (%)", "T"),
)
_NOTES = (
    "Ours: T chosen on validation, at the knee unless another goal is named, figures on the test set, one sample at a "
    "time, one thread; gain with its 95 % interval, a bootstrap over images or, where several processes timed it, by t "
    "over processes. With several seeds: mean ± half its 95 % interval by t, the mean time on each machine, the mean "
    "share of each exit, and each T. *Paper's clock*: plain Chainer, the trunk alone inside the clock. *End "
    "to end*: all that a caller waits for, compiled; *same engine*: over the plain network compiled alike; *over plain "
    "Chainer*: over the plain network in plain Chainer, the paper's setting. The paper's and the authors' times are "
    "from other machines, by the paper's clock."
)


def table_one(runs, published: dict) -> str:
    """Table I of the paper with our rows beside it, as Markdown.

    Runs that differ in nothing but the seed become one row; those with T chosen for another goal follow the knee.
    """
    lines, seen, groups = [], set(), _groups(runs)
    paper_order = [row["network"] for row in published["paper"]]
    trainings = [_training(same[0]) for same in groups]

    def place(same):
        network = same[0]["network"]
        is_published = bool(published_rows(same[0], published))
        return (*paper_order, network).index(network), not is_published, trainings.index(_training(same[0]))

    for same in sorted(groups, key=place):
        network, training = same[0]["network"], _training(same[0])
        several = len({run["dataset"] for run in runs if run["network"] == network}) > 1
        on = f" on {same[0]['dataset']}" if several else ""
        rows = published_rows(same[0], published)
        if rows and network not in seen:
            lines += [[row.source, row.network, *row.cells(1), ""] for row in rows]
            seen.add(network)
        lines += _our_lines(same, on, with_plain=training not in seen)
        seen.add(training)
    machines = sorted({f"{formats.machine(run)}, engine {run['engine']}" for run in runs})
    table = formats.markdown_table((*HEADINGS, "Seeds"), lines)
    return f"{table}\n\n{_NOTES}\n\nMachine: {'; '.join(machines)}.\n"


def front_table(runs, published: dict) -> str:
    """One row of the paper's for each of its networks, and below it ours, as a Markdown table.

    Args:
        runs: records with T chosen at the knee; ResNets of other depths stand below the paper's. The variant of a
            network is named where there are several.
        published: of `load_published`; the paper's figures on the CPU are taken.
    """
    paper = {entry["network"]: entry for entry in published["paper"] if entry["device"] == "cpu"}
    lines, ours = [], sorted(_groups(runs), key=lambda same: same[0]["network"] not in paper)
    names = [same[0]["network"] for same in ours]
    for title in [title for title in paper if f"B-{title}" in paper]:
        plain, row = published_pair("Paper", paper[title], paper[f"B-{title}"])
        lines.append(_front_line(f"{title}, paper", plain.cells(1), row.cells(1), row.cells(1)[2], "", ""))
        of_paper = [same for same in ours if same[0]["dataset"] == DATASETS[title]]
        for same in [same for same in of_paper if _family(same[0]["network"]) == _family(title)]:
            on_papers_clock, rows = zip(*(our_rows(run, (PAPERS_CLOCK, SAME_ENGINE)) for run in same))
            seeds = f" ({len(same)} seeds)" if len(same) > 1 else ""
            plain, branchy = _pooled([row.plain for row in rows]), _pooled(rows)
            gains = _pooled(on_papers_clock)[2], branchy[2], _gain_at_equal_accuracy(same)
            network = same[0]["network"]
            network += formats.variant(same[0]) if names.count(network) > 1 else ""
            name = f"{network}, ours{seeds}{formats.tuned_on_test(same[0])}"
            lines.append(_front_line(name, plain, branchy, *gains))
    return formats.markdown_table(_FRONT_HEADINGS, lines)


def _family(title):
    return title.split("-")[0]


def _front_line(network, plain, branchy, *gains):
    return [network, plain[0], branchy[0], plain[1], branchy[1], *gains, branchy[4], branchy[3]]


def _groups(runs):
    """Lists of runs that differ in nothing but the seed, each in the order of the seeds; the knee comes first.

    A seed stands in a list once: what was run again is a row of its own.
    """
    groups = {}
    for run in runs:
        same = groups.setdefault((*_training(run), _goal(run)), [{}])
        if all(run["seed"] in seeds for seeds in same):
            same.append({})
        next(seeds for seeds in same if run["seed"] not in seeds)[run["seed"]] = run
    ordered = [seeds for key in sorted(groups, key=lambda key: key[-1] != "") for seeds in groups[key]]
    return [[seeds[seed] for seed in sorted(seeds)] for seeds in ordered]


def _training(run):
    """What tells a run from others but for the seed and T: what was trained, and how.

    Settings that are 0 or none change nothing, and older records lack some.
    """
    steps = [run["training_settings"][step] for step in ("plain", "joint")]
    settings = [{k: v for k, v in step.items() if v and k != "seed"} for step in steps]
    how = json.dumps([run["preset"], run["arguments"].get("transform"), *settings], sort_keys=True)
    return run["network"], run["dataset"], run["variant"], run["device"], run["engine"], how


def _goal(run):
    """What T was chosen for, where that was not the knee, with a comma before."""
    goal = run["choice"]["goal"]
    return "" if goal == "knee" else ", T given" if goal is None else f", T for {goal}"


def _our_lines(same, on, with_plain):
    variant, goal, tuned = formats.variant(same[0]) + on, _goal(same[0]), formats.tuned_on_test(same[0])
    lines = []
    for rows in zip(*(our_rows(run, _CLOCKS) for run in same)):
        shown = [("", [row.plain for row in rows])] if with_plain else []
        for words, pooled in [*shown, (goal + tuned, rows)]:
            source, network = f"Ours, {pooled[0].clock.words}", f"{pooled[0].network}{variant}{words}"
            lines.append([source, network, *_pooled(pooled), str(len(same))])
    return lines


def _pooled(rows):
    """The cells of one row from those of several seeds: accuracy, time, gain, T and exits."""
    of_machines = {}
    for row in rows:
        of_machines.setdefault(row.machine, []).append(row.time_ms)
    means = [None if None in times else statistics.mean(times) for times in of_machines.values()]
    accuracy = formats.mean_and_interval([row.accuracy_pct for row in rows])
    time = "; ".join(map(formats.ms, means))
    if rows[0].plain is None:
        return [accuracy, time, "", "", ""]
    # Three digits tell settings apart; the records hold all.
    settings = dict.fromkeys(formats.thresholds([float(f"{t:.3g}") for t in row.thresholds]) for row in rows)
    shares = [statistics.mean(values) for values in zip(*(row.exit_pct for row in rows))]
    gain = _pooled_gain([row.gain for row in rows])
    return [accuracy, time, gain, "; ".join(settings), formats.exit_shares(shares, decimals=1)]


def _pooled_gain(gains):
    if len(gains) == 1 or None in gains:
        return formats.gain(None if None in gains else gains[0])
    return formats.mean_and_interval([gain["value"] for gain in gains], unit="x")


def _gain_at_equal_accuracy(runs):
    """The gain end to end of the fastest T that is as accurate as the plain network on validation images, or "none"; of
    several seeds the mean of those that have such a T, with their number. Behind it how many of these are less accurate
    than the plain network on test images, by the paired test."""
    points = [point for run in runs for point in run.get("operating_points") or () if point["name"] == "equal accuracy"]
    found = [point for point in points if point["thresholds"] is not None]
    if not found:
        return "none" if points else ""
    compared = [point["against_plain"] for point in found]
    n_worse = sum(of["difference_pct"] < 0 and of["p"] < 0.05 for of in compared)
    notes = [f"{len(found)} of {len(points)}"] if len(found) < len(points) else []
    notes += [f"{n_worse} less accurate on test"] if n_worse else []
    gain = _pooled_gain([point["end_to_end_gain"] for point in found])
    return gain + (f" ({', '.join(notes)})" if notes else "")

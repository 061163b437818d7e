"""The whole of the paper's Table I: paper, authors' notebook and our runs, on both clocks, seeds as mean ± std."""

from __future__ import annotations

import statistics

from branchynet.records.reference import select
from branchynet.report import formats
from branchynet.report.table import markdown_table, published_row

_HEADINGS = ("Source", "Network", "Acc. (%)", "Time (ms)", "Gain", "Thrshld. T", "Exit (%)", "Seeds")
_NOTES = (
    "Ours: T chosen on validation, at the knee unless another goal is named, figures on the test set, one sample at a "
    "time, one thread; gain with its 95 % "
    "bootstrap interval. With several seeds: mean ± standard deviation over them, the mean share of each exit, and "
    "each T. "
    "*Paper's clock*: plain Chainer, the trunk alone inside the clock. *End to end*: all that a caller waits for, "
    "compiled; *same engine*: over the plain network compiled alike; *over Chainer*: over the plain network in plain "
    "Chainer, the paper's setting. The paper's and the authors' times are from other machines, by the paper's clock."
)


def table_one(runs, reference: dict) -> str:
    """Table I of the paper with our rows beside it.

    Args:
        runs: records of runs (`branchynet.records`); those that differ in nothing but the seed become one row, and
            those with T chosen for another goal follow the knee.
        reference: tables of the paper and the authors, as of `load_reference`.

    Returns:
        Markdown.
    """
    rows, published, ours = [], set(), set()
    paper_order = [row["network"] for row in reference["paper"]]
    for same in sorted(_groups(runs), key=lambda same: (*paper_order, same[0]["network"]).index(same[0]["network"])):
        first = same[0]
        if first["network"] not in published:
            rows += _published_rows(select(first, reference))
            published.add(first["network"])
        place = f"{first['network']}{formats.variant(first)}"
        rows += _our_rows(same, with_baseline=place not in ours)
        ours.add(place)
    machines = sorted({f"{formats.machine(run)}, engine {run['engine']}" for run in runs})
    return "\n\n".join([markdown_table(_HEADINGS, rows), _NOTES, f"Machine: {'; '.join(machines)}."]) + "\n"


def _groups(runs):
    """Lists of runs that differ in nothing but the seed, each in the order of the seeds."""
    groups = {}
    for run in runs:
        key = (run["network"], run["dataset"], run.get("variant"), run["device"], run["preset"], _goal(run))
        groups.setdefault(key, []).append(run)
    knee_first = sorted(groups, key=lambda key: key[-1] != "")
    return [sorted(groups[key], key=lambda run: run["seed"]) for key in knee_first]


def _goal(run):
    """What T was chosen for, where that was not the knee."""
    goal = run["choice"].get("goal")
    return "" if goal in (None, "knee") else goal


def _published_rows(published):
    sources = (
        ("Paper", published.paper_baseline),
        ("Paper", published.paper_branchy),
        ("Authors' notebook", published.authors_baseline),
        ("Authors' notebook", published.authors_chosen),
    )
    return [[*published_row(source, row), ""] for source, row in sources if row is not None]


def _our_rows(same, with_baseline):
    first, n_seeds = same[0], str(len(same))
    place = formats.variant(first)
    goal = f", T for {_goal(first)}" if _goal(first) else ""
    rows = []
    for clock, plain_ms, branchy_ms, gain in (
        ("paper's clock", "chainer_ms", "paper_clock_ms", "paper_clock_gain"),
        ("end to end, same engine", "baseline_ms", "end_to_end_ms", "end_to_end_gain"),
        ("end to end, over Chainer", "chainer_ms", "end_to_end_ms", "gain_over_chainer"),
    ):
        source = f"Ours, {clock}"
        plain = _mean(same, lambda run: run["baselines"][0]["accuracy_pct"], 2)
        plain_time = formats.ms(statistics.mean(run["measured"][plain_ms]["mean"] for run in same))
        if with_baseline:
            rows.append([source, f"{first['network']}{place}", plain, plain_time, "", "", "", n_seeds])
        shares = zip(*(run["measured"]["exit_pct"] for run in same))
        # Three digits tell settings apart; the records hold all.
        rounded = [[float(f"{t:.3g}") for t in run["measured"]["thresholds"]] for run in same]
        settings = dict.fromkeys(map(formats.thresholds, rounded))
        rows.append(
            [
                source,
                f"{first['branchy_network']}{place}{goal}",
                _mean(same, lambda run: run["measured"]["accuracy_pct"], 2),
                formats.ms(statistics.mean(run["measured"][branchy_ms]["mean"] for run in same)),
                _gain([run["measured"][gain] for run in same]),
                "; ".join(settings),
                formats.exit_shares([statistics.mean(values) for values in shares], decimals=1),
                n_seeds,
            ]
        )
    return rows


def _mean(same, figure, decimals):
    values = [figure(run) for run in same]
    text = f"{statistics.mean(values):.{decimals}f}"
    return f"{text} ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else text


def _gain(gains):
    if len(gains) == 1:
        return formats.gain(gains[0])
    values = [gain["value"] for gain in gains]
    return f"{statistics.mean(values):.2f}x ± {statistics.stdev(values):.2f}"

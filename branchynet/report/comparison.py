"""Paper, authors' notebook and our runs, row by row, with the reason for each difference."""

from __future__ import annotations

from branchynet.records.reference import select
from branchynet.report import formats
from branchynet.report.table import markdown_table

_HEADINGS = (
    "Row",
    "Clock",
    "Acc. plain (%)",
    "Acc. branchy (%)",
    "Plain (ms)",
    "Branchy (ms)",
    "Gain",
    "T",
    "Exit (%)",
)

# Why two rows differ, by what they are; facts of the method, not of one run.
REASONS = (
    "**Paper and notebook against ours, paper's clock.** The same clock on another machine and another Chainer. What "
    "is left of the difference is the processor, the version, and T: theirs was chosen on the test set, ours on "
    "validation.",
    "**Ours, paper's clock, against ours, end to end over plain Chainer.** Two things at once: the branches, softmax, "
    "entropy and exit rule come inside the clock, which costs; and the network is compiled, which gains. The baseline "
    "is the same.",
    "**Over plain Chainer against on the same engine.** Only the baseline differs: the plain network is compiled "
    "too. This is what early exit itself gains.",
    "**On the same engine against the multiply-adds.** Every sample pays the heads of the exits that it passes, and "
    "calls cost the same however little they compute; `make bench` gives the limit beside the measured gain.",
    "**Accuracy.** Ours are trained with a one-cycle schedule in fewer epochs (the preset in the run's record; "
    "`--preset paper` trains as long as the paper), with all weights of step 1 and with loss weights that work.",
)


def comparison(runs, reference: dict) -> str:
    """The comparison as Markdown.

    Args:
        runs: records of runs (`branchynet.records`).
        reference: tables of the paper and the authors, as of `load_reference`.
    """
    parts = ["# Paper, authors' notebook and this project"]
    for run in runs:
        parts.append(f"## {run['network']}{formats.variant(run)} on {run['dataset']}, {run['device'].upper()}")
        parts.append(markdown_table(_HEADINGS, [*_published_rows(select(run, reference)), *_our_rows(run)]))
        parts.append(
            f"Ours: {formats.machine(run)}, engine {run['engine']}; `{run['command']}`; "
            f"{formats.commit(run['environment'])}; {formats.versions(run['environment'])}."
        )
    parts += ["## Why they differ", "\n".join(f"- {reason}" for reason in REASONS)]
    return "\n\n".join(parts) + "\n"


def gains_of(run, reference: dict) -> list:
    """The gains of one comparison, for a figure: [(label, gain)], those that there are."""
    published, measured = select(run, reference), run["measured"]
    rows = [
        ("paper", published.paper_branchy and published.paper_branchy["gain"]),
        ("authors' notebook", published.authors_chosen and published.authors_chosen["gain"]),
        ("ours, paper's clock", _value(measured["paper_clock_gain"])),
        ("ours, end to end, over plain Chainer", _value(measured["gain_over_chainer"])),
        ("ours, end to end, same engine", _value(measured["end_to_end_gain"])),
    ]
    return [(label, gain) for label, gain in rows if gain]


def _value(gain):
    return gain["value"] if gain else None


def _published_rows(published):
    pairs = (
        ("Paper, Table I", published.paper_baseline, published.paper_branchy),
        ("Authors' notebook", published.authors_baseline, published.authors_chosen),
    )
    return [
        [
            source,
            "paper's",
            formats.accuracy(plain["accuracy_pct"]),
            formats.accuracy(branchy["accuracy_pct"]),
            f"{plain['time_ms']:g}",
            f"{branchy['time_ms']:g}",
            formats.published_gain(branchy["gain"]),
            formats.thresholds(branchy["thresholds"]),
            formats.exit_shares(branchy["exit_pct"]),
        ]
        for source, plain, branchy in pairs
        if plain is not None and branchy is not None
    ]


def _our_rows(run):
    measured = run["measured"]
    rows = (
        ("Ours, plain Chainer", "paper's", "chainer_ms", "paper_clock_ms", "paper_clock_gain"),
        ("Ours, over plain Chainer", "end to end", "chainer_ms", "end_to_end_ms", "gain_over_chainer"),
        ("Ours, on the same engine", "end to end", "baseline_ms", "end_to_end_ms", "end_to_end_gain"),
    )
    return [
        [
            source,
            clock,
            formats.accuracy(run["baselines"][0]["accuracy_pct"]),
            formats.accuracy(measured["accuracy_pct"]),
            formats.mean_ms(measured[plain]),
            formats.mean_ms(measured[branchy]),
            formats.gain(measured[gain]),
            formats.thresholds(measured["thresholds"]),
            formats.exit_shares(measured["exit_pct"], decimals=1),
        ]
        for source, clock, plain, branchy, gain in rows
    ]

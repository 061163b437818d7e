"""Paper, authors' notebook and our runs, row by row, with the reason for each difference."""

from branchynet.report import formats
from branchynet.report.rows import CLOCKS, our_rows, published_rows

_HEADINGS = (
    *("Source", "Clock", "Acc. plain (%)", "Acc. branchy (%)", "Plain (ms)", "Branchy (ms)"),
    *("Gain", "T", "Exit (%)"),
)
# Each differs from the one before by the machine and the training, then what is inside the clock, then the baseline.
_CLOCKS = CLOCKS[::-1]

# Why two rows differ, by what they are; facts of the method, not of one run.
REASONS = (
    "**Paper and notebook against ours, paper's clock.** The same clock on another machine and another Chainer; a "
    "network trained otherwise, whose samples leave in other shares at the same T; and another T: theirs was chosen on "
    "the test set, ours on validation.",
    "**Ours, paper's clock, against ours, end to end over plain Chainer.** Two things at once: the branches, softmax, "
    "entropy and exit rule come inside the clock, which costs; and the network is compiled, which gains. The baseline "
    "is the same.",
    "**Over plain Chainer against on the same engine.** Only the baseline differs: the plain network is compiled "
    "too. This is what early exit itself gains.",
    "**On the same engine against the multiply-adds.** Every sample pays the heads of the exits that it passes, and "
    "calls cost the same however little they compute. The native engine's tiles spare more multiply-adds behind the "
    "early exits than before them. `make bench` gives the limit beside the measured gain.",
    "**Accuracy.** Ours are trained with a one-cycle schedule in fewer epochs (the preset in the run's record; "
    "`--preset paper` trains as long as the paper), with all weights of step 1 and with loss weights that work.",
)


def comparison(runs, published: dict) -> str:
    """The comparison of runs with what was published, as Markdown."""
    parts = ["# Paper, authors' notebook and this project"]
    for run in runs:
        rows = [row for row in (*published_rows(run, published), *our_rows(run, _CLOCKS)) if row.plain]
        parts.append(f"## {run['network']}{formats.variant(run)} on {run['dataset']}, {run['device'].upper()}")
        parts.append(formats.markdown_table(_HEADINGS, map(_cells, rows)))
        parts.append(
            f"Ours: {formats.machine(run)}, engine {run['engine']}; `{run['command']}`; "
            f"{formats.commit(run['environment'])}; {formats.versions(run['environment'])}."
        )
    parts += ["## Why they differ", "\n".join(f"- {reason}" for reason in REASONS)]
    return "\n\n".join(parts) + "\n"


def _cells(row):
    source = {"Paper": "Paper, Table I"}.get(row.source, row.source)
    (plain_accuracy, plain_time, *_), (accuracy, time, *rest) = row.plain.cells(1), row.cells(1)
    return [source, row.clock.words, plain_accuracy, accuracy, plain_time, time, *rest]


def gains_of(run: dict, published: dict) -> list:
    """The gains of one comparison, for a figure: [(label, gain)], those that there are."""
    labelled = [(row.source[0].lower() + row.source[1:], row.gain) for row in published_rows(run, published)]
    labelled += [(f"ours, {row.clock.words}", row.gain and row.gain["value"]) for row in our_rows(run, _CLOCKS)]
    return [(label, gain) for label, gain in labelled if gain]

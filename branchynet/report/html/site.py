"""The page that a visitor opens first: all released runs, with links to their reports and records."""

from branchynet.report import formats
from branchynet.report.html.rendering import render
from branchynet.report.rows import PAPERS_CLOCK, SAME_ENGINE, our_rows

_HEADINGS = (
    *("Network", "Look at", "Data", "Seed", "T for", "Acc. plain (%)", "Acc. branchy (%)", "Plain (ms)"),
    *("Branchy (ms)", "Gain end to end", "Gain, paper's clock", "Exit (%)", "Thrshld. T"),
)


def site_page(entries, introduction) -> str:
    """The page.

    Args:
        entries: list of (a run's record, {text of a link: where it leads, relative to the page}), in the order shown.
        introduction: [(text of a link, where it leads, what is there)], the links above the table.

    Returns:
        HTML.

    Raises:
        ReportError: Jinja2 is not installed.
    """
    rows = [(_cells(run), links) for run, links in entries]
    machines = list(dict.fromkeys(formats.machine(run) for run, _ in entries))
    return render("site.html", headings=_HEADINGS, rows=rows, introduction=introduction, machines=machines)


def _cells(run):
    end_to_end, papers = our_rows(run, [SAME_ENGINE, PAPERS_CLOCK])
    accuracy, time, gain, thresholds, exits = end_to_end.cells(1)
    return [
        f"{run['branchy_network']}{formats.variant(run)}",
        run["dataset"],
        str(run["seed"]),
        run["choice"]["goal"] or "given",
        formats.accuracy(end_to_end.plain.accuracy_pct),
        accuracy,
        formats.ms(end_to_end.plain.time_ms),
        time,
        gain,
        papers.cells(1)[2],
        exits,
        thresholds,
    ]

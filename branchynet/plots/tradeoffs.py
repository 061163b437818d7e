"""Accuracy against time (paper, Fig. 3): on this machine, and against everyone's own baseline."""

import pathlib
import textwrap

from branchynet.plots import style
from branchynet.records.published import select
from branchynet.report import formats
from branchynet.report.rows import PAPERS_CLOCK, SAME_ENGINE, baseline_rows, our_rows
from branchynet.thresholds.front import front

_DIAMOND = {"marker": "D", "markersize": 7, "linestyle": "none", "zorder": 4}
_STAR = {"marker": "*", "markersize": 16, "linestyle": "none", "zorder": 5}
_GREEN_STAR = {"color": style.GREEN, "markeredgecolor": "black", **_STAR}
_ROOM_FOR_TEXT = 0.22  # share of the range of accuracies that stays free at the top, for the annotation


def tradeoff(run: dict, published: dict, path_stem) -> None:
    """Draws accuracy against time, as .png and .pdf.

    The left panel holds milliseconds on the machine of the run: the sweep on the test split, its non-dominated points
    as the curve, the baselines as diamonds, the chosen setting, timed for real, as the star. The right panel holds time
    as a share of everyone's own baseline, so that other machines compare: ours by both clocks, the paper's point, the
    authors' notebook.

    Args:
        run: a run's record (`branchynet.records`).
        published: the figures of the paper and the authors, as of `branchynet.records.load_published`.
        path_stem: path of the files without their ending.

    Raises:
        OutputError: a file cannot be written.
    """
    figure = style.new_figure(10.5, 5.2)
    left, right = map(_Panel, figure.subplots(1, 2))
    points = [point for point in run["points"] if point["split"] == "test"]
    (chosen,) = our_rows(run, [SAME_ENGINE])
    _draw_milliseconds(left, run, points, chosen)
    _draw_relative(right, points, chosen, select(run, published))
    title = f"{run['branchy_network']} on {run['dataset']}: accuracy against time, one sample at a time"
    figure.suptitle(title, fontsize=style.FONT_SIZE + 2)
    stem = pathlib.Path(path_stem)
    style.save(figure, stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf"))


class _Panel:
    """Axes, and the points that their limits go round: the curves and the marks, not every poor setting of T."""

    def __init__(self, axes):
        self.axes, self.points = axes, []

    def draw(self, points, **settings):
        """Draws (time, accuracy in %) pairs, if there are any."""
        if points:
            self.axes.plot(*zip(*points), **settings)
            self.points += points

    def finish(self, time_label, title, above):
        """Labels, limits and legend; `above` is the share of the range that stays free at the top."""
        style.label(self.axes, time_label, "test accuracy (%)", title)
        times, accuracies = zip(*self.points)
        self.axes.set_xlim(*style.limits(times))
        self.axes.set_ylim(*style.limits(accuracies, above=above))
        style.legend_below(self.axes)


def _draw_milliseconds(panel, run, points, chosen):
    settings = [(point[SAME_ENGINE.branchy_ms], point["accuracy_pct"]) for point in points]
    panel.axes.plot(*zip(*settings), ".", color=style.GREY, alpha=0.5, label="all settings of T")
    curve = {"color": style.BLUE, "marker": "o", "markersize": 4}
    panel.draw(_front(settings), label=f"{run['branchy_network']}, best settings", **curve)
    for index, (marker, baseline, row) in enumerate(zip("DDso", run["baselines"], baseline_rows(run))):
        # A baseline on another engine, many times slower, would squeeze the curve into a corner: it is in the table.
        if row.time_ms and baseline["engine"] == run["engine"]:
            fill = {"color": style.RED, "markerfacecolor": "white" if index else style.RED}
            panel.draw([(row.time_ms, row.accuracy_pct)], label=row.network, **{**_DIAMOND, **fill, "marker": marker})
    if chosen.time_ms:
        panel.draw([(chosen.time_ms, chosen.accuracy_pct)], label="chosen T, timed", **_GREEN_STAR)
    machine = textwrap.shorten(formats.machine(run), 64, placeholder=" ...")
    panel.finish("time per sample, end to end (ms)", f"time on this machine\n({machine})", above=_ROOM_FOR_TEXT)
    if chosen.time_ms:
        _annotate(panel.axes, chosen)


def _draw_relative(panel, points, chosen, published):
    """Time as a share of one's own baseline: shorter is to the left, as in the other panel."""
    for clock, line, colour in ((SAME_ENGINE, "-", style.BLUE), (PAPERS_CLOCK, "--", style.SKY)):
        relative = [(1 / point[clock.gain], point["accuracy_pct"]) for point in points if point[clock.gain]]
        look = {"color": colour, "linestyle": line, "marker": "o", "markersize": 4}
        panel.draw(_front(relative), label=f"this run, {clock.short}", **look)
    if chosen.gain:
        place = 1 / chosen.gain["value"], chosen.accuracy_pct
        panel.draw([place], label="this run, chosen T", **_GREEN_STAR)
    panel.draw([(1, chosen.plain.accuracy_pct)], color=style.RED, label="this run, baseline", **_DIAMOND)
    _draw_published(panel, published)
    panel.axes.axvline(1, color="0.6", linewidth=1, linestyle=":")
    title = "relative time\n(each divided by its own baseline, each on its own machine)"
    panel.finish("time per sample / time of the baseline", title, above=0.08)


def _draw_published(panel, published):
    """The paper's and the authors' baselines and curves; their baselines stand at 1, as ours does."""
    point = {"color": style.PURPLE, "marker": "s", "markersize": 8, "linestyle": "none", "zorder": 4}
    line = {"color": style.ORANGE, "linestyle": "-.", "marker": "^", "markersize": 4}
    sweeps = (
        ("paper", published.paper_plain, filter(None, [published.paper_branchy]), point),
        ("authors' notebook", published.authors_plain, published.authors_sweep, line),
    )
    for label, plain, rows, look in sweeps:
        if plain is not None:
            relative = [(row["time_ms"] / plain["time_ms"], row["accuracy_pct"]) for row in rows]
            panel.draw(_front(relative), label=label, **look)
            hollow = {"color": look["color"], "markerfacecolor": "white", **_DIAMOND}
            panel.draw([(1, plain["accuracy_pct"])], label=f"{label}, baseline", **hollow)


def _front(points):
    """The non-dominated ones among (time, accuracy) pairs, fastest first."""
    return [points[index] for index in front(*zip(*points))] if points else []


def _annotate(axes, chosen):
    """T and its gain at the top, over the star: above a point of the front there is no other point."""
    text = f"T = {formats.thresholds(chosen.thresholds)}"
    if chosen.gain:
        text += f": {chosen.gain['value']:.2f}x faster"
    low, high = axes.get_xlim()
    x = (chosen.time_ms - low) / (high - low)
    # Near an edge the text runs inwards, so that it stays within the axes and the line to the star stays upright.
    side, start = ("left", 0.0) if x < 0.25 else ("right", 1.0) if x > 0.75 else ("center", 0.5)
    axes.annotate(
        text,
        xy=(chosen.time_ms, chosen.accuracy_pct),
        xytext=(x, 0.92),
        textcoords="axes fraction",
        ha=side,
        va="bottom",
        fontsize=style.FONT_SIZE,
        arrowprops={"arrowstyle": "-", "color": "0.4", "linewidth": 0.8, "shrinkB": 6, "relpos": (start, 0.0)},
    )

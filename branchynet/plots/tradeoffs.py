"""Accuracy against time (paper, Fig. 3): on this machine, and against everyone's own baseline."""

from __future__ import annotations

import pathlib

from branchynet.plots import style
from branchynet.records.reference import select
from branchynet.thresholds import front

_DIAMOND = {"marker": "D", "markersize": 7, "linestyle": "none", "zorder": 4}
_STAR = {"marker": "*", "markersize": 16, "linestyle": "none", "zorder": 5}
_CLOCKS = {"end_to_end": "end to end", "paper_clock": "paper's clock"}
_ROOM_FOR_TEXT = 0.22  # share of the range of accuracies that stays free at the top, for the annotation


def tradeoff(run: dict, reference: dict, path_stem) -> None:
    """Draws accuracy against time, as .png and .pdf.

    The left panel holds milliseconds on the machine of the run: the sweep on the test split, its non-dominated points
    as the curve, the baselines as diamonds, the chosen setting, timed for real, as the star. The right panel holds time
    as a share of everyone's own baseline, in which other machines compare: ours by both clocks, the paper's point, the
    authors' notebook.

    Args:
        run: a run's record (`branchynet.records`).
        reference: tables of the paper and the authors, as of `branchynet.records.load_reference`.
        path_stem: path of the files without their ending.

    Raises:
        OutputError: a file cannot be written.
    """
    figure = style.new_figure(10.5, 5.2)
    on_this_machine, relative = figure.subplots(1, 2)
    points = [point for point in run["points"] if point["split"] == "test"]
    _draw_milliseconds(on_this_machine, run, points)
    _draw_relative(relative, run, points, select(run, reference))
    figure.suptitle(
        f"{run['branchy_network']} on {run['dataset']}: accuracy against time, one sample at a time",
        fontsize=style.FONT_SIZE + 2,
    )
    stem = pathlib.Path(path_stem)
    style.save(figure, stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf"))


def _draw_milliseconds(axes, run, points):
    curve = _curve(points, "end_to_end_ms")
    measured = run["measured"]
    times, accuracies = map(list, zip(*curve))
    axes.plot(*_columns(points, "end_to_end_ms"), ".", color=style.GREY, alpha=0.5, label="all settings of T")
    axes.plot(times, accuracies, "o-", color=style.BLUE, markersize=4, label=f"{run['branchy_network']}, best settings")
    for index, baseline in enumerate(run["baselines"]):
        # A baseline on another engine, many times slower, would squeeze the curve into a corner: it is in the table.
        if baseline["latency_ms"] and baseline.get("engine", run["engine"]) == run["engine"]:
            fill = style.RED if index == 0 else "white"
            time, accuracy = baseline["latency_ms"]["mean"], baseline["accuracy_pct"]
            axes.plot(time, accuracy, color=style.RED, markerfacecolor=fill, label=baseline["name"], **_DIAMOND)
            times.append(time)
            accuracies.append(accuracy)
    if measured["end_to_end_ms"]:
        time, accuracy = measured["end_to_end_ms"]["mean"], measured["accuracy_pct"]
        axes.plot(time, accuracy, color=style.GREEN, markeredgecolor="black", label="chosen T, timed", **_STAR)
        times.append(time)
        accuracies.append(accuracy)
    style.label(axes, "time per sample, end to end (ms)", "test accuracy (%)", _machine(run))
    _set_limits(axes, times, accuracies)
    if measured["end_to_end_ms"]:
        _annotate_choice(axes, run, time, accuracy)
    style.legend_below(axes)


def _draw_relative(axes, run, points, published):
    """Time as a share of one's own baseline: shorter is to the left, as in the other panel."""
    drawn = []

    def draw(curve, **settings):
        if curve:
            axes.plot(*zip(*curve), **settings)
            drawn.extend(curve)

    for clock, line, colour in (("end_to_end", "-", style.BLUE), ("paper_clock", "--", style.SKY)):
        relative = [{**point, "relative": 1 / point[f"{clock}_gain"]} for point in points if point[f"{clock}_gain"]]
        draw(
            _curve(relative, "relative") if relative else [],
            color=colour,
            linestyle=line,
            marker="o",
            markersize=4,
            label=f"this run, {_CLOCKS[clock]}",
        )
    _draw_choice(draw, run["measured"])
    draw([(1, run["baselines"][0]["accuracy_pct"])], color=style.RED, label="this run, baseline", **_DIAMOND)
    _draw_published(draw, published)
    axes.axvline(1, color="0.6", linewidth=1, linestyle=":")
    title = "relative time\n(each divided by its own baseline, each on its own machine)"
    style.label(axes, "time per sample / time of the baseline", "test accuracy (%)", title)
    _set_limits(axes, *zip(*drawn), above=0.08)
    style.legend_below(axes)


def _draw_choice(draw, measured):
    gain = measured["end_to_end_gain"]
    if gain:
        point = [(1 / gain["value"], measured["accuracy_pct"])]
        draw(point, color=style.GREEN, markeredgecolor="black", label="this run, chosen T", **_STAR)


def _draw_published(draw, published):
    """The paper's and the authors' baselines and curves; their baselines stand at 1, as ours does."""
    hollow = {"markerfacecolor": "white", **_DIAMOND}
    if published.paper_branchy is not None:
        row = published.paper_branchy
        paper = [(row["time_ms"] / published.paper_baseline["time_ms"], row["accuracy_pct"])]
        draw(paper, color=style.PURPLE, marker="s", markersize=8, linestyle="none", zorder=4, label="paper")
        baseline = [(1, published.paper_baseline["accuracy_pct"])]
        draw(baseline, color=style.PURPLE, label="paper, baseline", **hollow)
    if published.authors_baseline is not None:
        baseline = published.authors_baseline
        rows = [(row["time_ms"] / baseline["time_ms"], row["accuracy_pct"]) for row in published.authors_sweep]
        curve = [rows[index] for index in front(*zip(*rows))] if rows else []
        draw(curve, color=style.ORANGE, linestyle="-.", marker="^", markersize=4, label="authors' notebook")
        draw([(1, baseline["accuracy_pct"])], color=style.ORANGE, label="authors' notebook, baseline", **hollow)


def _curve(points, clock):
    """The non-dominated settings by one clock, fastest first: [(ms, accuracy in %)]."""
    times, accuracies = _columns(points, clock)
    return [(times[index], accuracies[index]) for index in front(times, accuracies)]


def _columns(points, clock):
    return [point[clock] for point in points], [point["accuracy_pct"] for point in points]


def _set_limits(axes, times, accuracies, above=_ROOM_FOR_TEXT):
    """Limits around what matters: the curves and the marks, not every poor setting of T."""
    axes.set_xlim(*style.limits(times))
    axes.set_ylim(*style.limits(accuracies, above=above))


def _annotate_choice(axes, run, time, accuracy):
    """T and its gain at the top, over the star: above a point of the front there is no other point."""
    measured = run["measured"]
    thresholds = ", ".join(f"{value:g}" for value in measured["thresholds"])
    gain = measured["end_to_end_gain"]
    text = f"T = {thresholds}" + (f": {gain['value']:.2f}x faster" if gain else "")
    low, high = axes.get_xlim()
    x = (time - low) / (high - low)
    # Near an edge the text runs inwards, so that it stays within the axes and the line to the star stays upright.
    side, start = ("left", 0.0) if x < 0.25 else ("right", 1.0) if x > 0.75 else ("center", 0.5)
    axes.annotate(
        text,
        xy=(time, accuracy),
        xytext=(x, 0.92),
        textcoords="axes fraction",
        ha=side,
        va="bottom",
        fontsize=style.FONT_SIZE,
        arrowprops={"arrowstyle": "-", "color": "0.4", "linewidth": 0.8, "shrinkB": 6, "relpos": (start, 0.0)},
    )


def _machine(run):
    """The processor, short enough for a title."""
    environment = run["environment"]
    model = environment.get("device") or environment.get("cpu") or run["device"].upper()
    threads = environment.get("threads")
    words = f", {threads} thread{'' if threads == 1 else 's'}" if threads and run["device"] == "cpu" else ""
    return f"time on this machine\n({model[:48]}{words})"

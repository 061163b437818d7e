"""Measures of confidence: accuracy against time of all of them, and whether an exit is right as often as it says."""

import numpy as np

from branchynet.plots import style
from branchynet.report.colours import OF_EXITS

_LINES = ("-", "--", ":")
_MARKERS = "os^vDPX<>*"
_COLOURS = (*OF_EXITS, style.GREY)
# Of settings slower than so many times the reference only the line towards them is drawn.
_FARTHEST = 1.6


def measure_tradeoffs(network: dict, path) -> None:
    """Draws test accuracy against time of every measure in one plot, each through the settings of its validation front.

    Args:
        network: an entry of "networks" that `experiments/future_work.py` writes: name, dataset, measures: [{name,
            curve: [{cost, accuracy_pct}]}], that of the reference first, reference: {test: {cost, accuracy_pct}}.
        path: of the .png.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = style.new_figure(8.6, 5.0)
    axes = figure.subplots()
    for index, row in enumerate(network["measures"]):
        curve = sorted((point["cost"], point["accuracy_pct"]) for point in row["curve"])
        is_reference = index == 0
        axes.plot(
            *zip(*curve),
            color="black" if is_reference else _COLOURS[(index - 1) % len(_COLOURS)],
            linestyle="-" if is_reference else _LINES[(index - 1) // len(_COLOURS) % len(_LINES)],
            linewidth=2.2 if is_reference else 1.2,
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            # A long front has more settings than a line has room for marks.
            markevery=max(1, len(curve) // 12),
            alpha=0.9,
            zorder=4 if is_reference else 3,
            label=row["name"],
        )
    test = network["reference"]["test"]
    star = {"marker": "*", "markersize": 17, "linestyle": "none", "zorder": 5, "markeredgecolor": "black"}
    axes.plot(test["cost"], test["accuracy_pct"], color=style.GREEN, label="reference setting", **star)
    title = f"{network['name']} on {network['dataset']}: settings that are best on validation, on the test samples"
    style.label(axes, "time per sample, end to end (ms)", "test accuracy (%)", title)
    points = [point for row in network["measures"] for point in row["curve"]]
    near = [point["cost"] for point in points if point["cost"] <= _FARTHEST * test["cost"]]
    axes.set_xlim(*style.limits([*near, test["cost"]]))
    axes.set_ylim(*_where_it_matters([point["accuracy_pct"] for point in points], test["accuracy_pct"]))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=style.FONT_SIZE - 1, frameon=False)
    style.save(figure, path)


def _where_it_matters(accuracies, reference):
    """Limits of the accuracies, without the fast and poor end of the curves if that squeezes the rest."""
    low = min(float(np.median(accuracies)), reference)
    lowest = low - 3 * max(max(accuracies) - low, 0.05)
    return style.limits([reference, *[value for value in accuracies if value >= lowest]])


def reliability(network: dict, path) -> None:
    """Draws accuracy against confidence of each exit, before and after temperature scaling, over how many samples there
    are of each confidence (arXiv 1706.04599, Fig. 4).

    Args:
        network: an entry of "networks" that `experiments/future_work.py` writes: name, dataset, reliability: of
            `future.calibration.reliability`.
        path: of the .png.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = network["reliability"]
    figure = style.new_figure(3.7 * len(rows), 5.4)
    panels = figure.subplots(2, len(rows), squeeze=False, sharex=True, height_ratios=(3, 1.2))
    for number, (row, accuracy_axes, count_axes) in enumerate(zip(rows, *panels), start=1):
        accuracy_axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
        for key, colour, marker, shift in (("before", style.RED, "o", -0.008), ("after", style.BLUE, "s", 0.008)):
            bins = row[key]["bins"]
            confidences = np.array([entry["confidence"] for entry in bins])
            label = f"{key}: error {100 * row[key]['error']:.2f} %"
            accuracies = [entry["accuracy"] for entry in bins]
            accuracy_axes.plot(
                confidences, accuracies, color=colour, marker=marker, markersize=4, linewidth=1.2, label=label
            )
            counts = [entry["count"] for entry in bins]
            count_axes.bar(confidences + shift, counts, width=0.016, color=colour)
        count_axes.set_yscale("log")
        title = f"exit {number}, tau = {row['temperature']:.2f}"
        style.label(accuracy_axes, "", "accuracy" if number == 1 else "", title)
        style.label(count_axes, "largest probability", "test samples" if number == 1 else "")
        accuracy_axes.set_ylim(-0.04, 1.04)
        accuracy_axes.legend(loc="upper left", fontsize=style.FONT_SIZE - 1, frameon=False)
    title = f"{network['name']} on {network['dataset']}, before and after temperature scaling"
    figure.suptitle(title, fontsize=style.FONT_SIZE + 1)
    style.save(figure, path)

"""Figures 4, 5 and 6 of the paper from our measurements, with what was published of the same beside them."""

import pathlib

from branchynet.plots import style
from branchynet.report.paper_figures import published_sweep

_OURS = {"color": style.BLUE, "marker": "o", "markersize": 4}
_NOTEBOOK = {"color": style.ORANGE, "marker": "^", "markersize": 4, "linestyle": "--"}
_PAPER = {"color": style.PURPLE, "marker": "s", "markersize": 7, "linestyle": "none"}
_RIGHT = {"color": style.RED, "marker": "s", "markersize": 4, "linestyle": "--"}


def paper_figures(result: dict, published: dict, folder) -> None:
    """Draws figure4.png, figure5.png and figure6.png, a panel for each network.

    Args:
        result: what `experiments/figures.py` writes.
        published: the figures of the paper and the authors, as of `branchynet.records.load_published`.
        folder: where they go.

    Raises:
        OutputError: a file cannot be written.
    """
    folder, networks = pathlib.Path(folder), result["networks"]
    with_depths = [network for network in networks if network["depths"]]
    device = result["environment"]["device"]
    _draw(networks, published, _shares, "T of the first exit: accuracy", folder / "figure4.png")
    title = f"T of the first exit: time and cache ({device})"
    _draw(networks, published, _time_and_cache, title, folder / "figure6.png")
    if with_depths:
        title = f"convolutions in the first branch: accuracy and time ({device})"
        _draw(with_depths, published, _depths, title, folder / "figure5.png")


def _draw(networks, published, panel, title, path):
    figure = style.new_figure(5.6 * len(networks), 4.6)
    for axes, network in zip(figure.subplots(1, len(networks), squeeze=False)[0], networks):
        panel(axes, network, published)
    figure.suptitle(title, fontsize=style.FONT_SIZE + 2)
    style.save(figure, path)


def _shares(axes, network, published):
    """Figure 4: over the share that leaves at the first exit, accuracy (left) and T (right)."""
    rows, right = network["sweep"], axes.twinx()
    shares = [row["exit_pct"][0] for row in rows]
    axes.plot(shares, [row["accuracy_pct"] for row in rows], label="accuracy, ours (left)", **_OURS)
    notebook, point = published_sweep(network["network"], published)
    if notebook:
        places = [row["exit_pct"][0] for row in notebook], [row["accuracy_pct"] for row in notebook]
        axes.plot(*places, label="accuracy, authors' notebook (left)", **_NOTEBOOK)
    if point:
        axes.plot([point["exit_pct"][0]], [point["accuracy_pct"]], label="accuracy, paper's Table I (left)", **_PAPER)
    right.plot(shares, [row["thresholds"][0] for row in rows], label="T, ours (right)", **_RIGHT)
    _label(axes, right, "leave at the first exit (%)", "test accuracy (%)", "T of the first exit (nats)", network)


def _depths(axes, network, published):
    """Figure 5: over the number of convolutions in the first branch, accuracies (left) and time (right)."""
    rows, right = network["depths"], axes.twinx()
    depths = [row["n_convolutions"] for row in rows]
    for index, accuracies in enumerate(zip(*(row["exit_accuracy_pct"] for row in rows))):
        look = {**_OURS, "color": style.of_exit(index)}
        axes.plot(depths, accuracies, label=f"accuracy of exit {index + 1} (left)", **look)
    axes.plot(depths, [row["accuracy_pct"] for row in rows], "k*:", label="accuracy at the knee (left)")
    right.plot(depths, [row["ms"]["mean"] for row in rows], label="time at the knee (right)", **_RIGHT)
    right.set_ylim(0, 1.08 * max(row["ms"]["mean"] for row in rows))
    axes.set_xticks(depths)
    _label(axes, right, "convolutions in the first branch", "test accuracy (%)", "ms an image", network)


def _time_and_cache(axes, network, published):
    """Figure 6: over T of the first exit, time and cache misses, both as shares of the plain network's."""
    rows, plain = network["sweep"], network["plain"]
    thresholds = [row["thresholds"][0] for row in rows]
    axes.plot(thresholds, [1 / row["gain"]["value"] for row in rows], label="time, ours", **_OURS)
    notebook, _ = published_sweep(network["network"], published)
    if notebook:
        places = [row["thresholds"][0] for row in notebook], [1 / row["gain"] for row in notebook]
        axes.plot(*places, label="time, authors' notebook, paper's clock", **_NOTEBOOK)
    word = "counted" if network["cache"]["kind"] == "counters" else "by a model"
    for name, line in zip(plain["misses"], ("--", ":")):
        relative = [row["misses"][name] / plain["misses"][name] for row in rows]
        axes.plot(thresholds, relative, label=f"cache misses, {name}, {word}", **{**_RIGHT, "linestyle": line})
    axes.axhline(1, color=style.GREY, linewidth=0.8)
    axes.set_xscale("symlog", linthresh=1e-4)
    axes.set_xlim(left=-2e-5)  # there is no T below 0; room for the mark of T = 0
    axes.set_ylim(bottom=0)
    style.label(axes, "T of the first exit (nats)", "share of the plain network's", network["network"])
    style.legend_below(axes)


def _label(axes, right, x, left_y, right_y, network):
    style.label(axes, x, left_y, network["network"])
    right.set_ylabel(right_y, fontsize=style.FONT_SIZE)
    right.tick_params(labelsize=style.FONT_SIZE - 1)
    handles = [handle for one in (axes, right) for handle in one.get_legend_handles_labels()[0]]
    style.legend_below(axes, handles=handles)

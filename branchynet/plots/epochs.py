"""Loss and accuracy of every exit over the two steps of training."""

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from branchynet.plots import style
from branchynet.report.epochs import training_rows

_LINES = {"training": "--", "validation": "-"}


def training(run: dict, path) -> None:
    """Draws loss and accuracy of every exit over the epochs: step 1 (plain network alone), a line, step 2 (jointly).

    Args:
        run: a run's record (`branchynet.records`).
        path: the file; its ending says the format.

    Raises:
        OutputError: the file cannot be written.
    """
    n_exits = len(run["exits"])
    history = [entry for entry in run["history"] if entry["phase"] in ("plain", "joint")]
    figure = style.new_figure(9.5, 4.6)
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    series = {}  # no line joins the two steps
    for row in training_rows(run):
        series.setdefault((row["line"], row["exit"], row["split"]), []).append(row)
    for (_, number, split), rows in series.items():
        epochs, losses, accuracies_pct = ([row[key] for row in rows] for key in ("epoch", "loss", "accuracy"))
        # Hollow and full marks tell the splits apart where a step has one epoch and so no line.
        fill = "white" if split == "training" else None
        look = {"linestyle": _LINES[split], "marker": "o", "markersize": 3, "markerfacecolor": fill}
        loss_axes.plot(epochs, losses, color=style.of_exit(number - 1), **look)
        accuracy_axes.plot(epochs, accuracies_pct, color=style.of_exit(number - 1), **look)
    style.label(loss_axes, "epoch", "loss: cross-entropy (nats)")
    style.label(accuracy_axes, "epoch", "accuracy (%)")
    if history:
        loss_axes.set_yscale("log")
        style.log_axis(loss_axes.yaxis)
        accuracy_axes.set_ylim(*_accuracy_limits(history))
    for axes in (loss_axes, accuracy_axes):
        _mark_phases(axes, sum(entry["phase"] == "plain" for entry in history), len(history))
    # One legend for both panels: the colours under the left one, the lines under the right one.
    names = [f"exit {number}" for number in range(1, n_exits)] + [f"exit {n_exits} (last)"]
    colours = [Line2D([], [], color=style.of_exit(n), linewidth=3, label=name) for n, name in enumerate(names)]
    lines = [Line2D([], [], color="0.3", linestyle=line, label=split) for split, line in _LINES.items()]
    style.legend_below(loss_axes, columns=min(n_exits, 4), handles=colours)
    style.legend_below(accuracy_axes, handles=lines)
    figure.suptitle(f"{run['branchy_network']} on {run['dataset']}: training", fontsize=style.FONT_SIZE + 2)
    style.save(figure, path)


def _accuracy_limits(history):
    """From where most of the training lies: the first epoch of a step, when it is far below, is left out."""
    later = [entry for entry in history if entry["epoch"] > 1 or len(history) < 4]
    exits = [values for entry in later for values in entry["exits"]]
    accuracies = [100 * values[key] for values in exits for key in ("accuracy", "validation_accuracy")]
    low, high = style.limits(accuracies or [0.0, 100.0], below=0.1)
    return low, min(high, 100.5)


def _mark_phases(axes, n_plain, n_epochs):
    """A line between the two steps, and their names."""
    if n_epochs == 0:
        axes.text(0.5, 0.5, "no training in this run", ha="center", va="center", transform=axes.transAxes)
        return
    axes.set_xlim(0.5, n_epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for start, stop, name in ((0, n_plain, "plain network"), (n_plain, n_epochs, "joint")):
        if stop > start:
            centre = (start + stop) / 2 / n_epochs
            axes.text(centre, 1.01, name, ha="center", va="bottom", fontsize=style.FONT_SIZE, transform=axes.transAxes)
    if 0 < n_plain < n_epochs:
        axes.axvline(n_plain + 0.5, color="0.4", linewidth=1)

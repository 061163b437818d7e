"""Loss and accuracy of every exit over the two steps of training."""

from __future__ import annotations

from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from branchynet.plots import style

_STYLES = {"training": "--", "validation": "-"}


def training(run: dict, path) -> None:
    """Draws loss and accuracy of every exit over the epochs: step 1 (main network alone), a line, step 2 (jointly).

    Args:
        run: a run's record (`branchynet.records`).
        path: the file; its ending says the format.

    Raises:
        OutputError: the file cannot be written.
    """
    history, n_exits = run["history"], len(run["exits"])
    figure = style.new_figure(9.5, 4.6)
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    n_main = sum(entry["phase"] == "main" for entry in history)
    series = _series(history, n_exits)
    for (exit_index, split), rows in series.items():
        epochs, losses, accuracies = zip(*rows)
        settings = {"color": style.OF_EXITS[exit_index % len(style.OF_EXITS)], "linestyle": _STYLES[split]}
        # Hollow and full marks tell the splits apart where a step has one epoch and so no line.
        marker = {"marker": "o", "markersize": 3, "markerfacecolor": "white" if split == "training" else None}
        for phase in _phases(epochs, n_main):
            loss_axes.plot(epochs[phase], losses[phase], **settings, **marker)
            accuracy_axes.plot(epochs[phase], [100 * value for value in accuracies[phase]], **settings, **marker)
    style.label(loss_axes, "epoch", "loss: cross-entropy (nats)")
    style.label(accuracy_axes, "epoch", "accuracy (%)")
    if history:
        _scale_losses(loss_axes)
        accuracy_axes.set_ylim(*_accuracy_limits(history))
    for axes in (loss_axes, accuracy_axes):
        _mark_phases(axes, n_main, len(history))
    # One legend for both panels: the colours under the left one, the lines under the right one.
    style.legend_below(loss_axes, columns=min(n_exits, 4), handles=_exit_handles(n_exits))
    style.legend_below(accuracy_axes, handles=_split_handles())
    figure.suptitle(f"{run['branchy_network']} on {run['dataset']}: training", fontsize=style.FONT_SIZE + 2)
    style.save(figure, path)


def _series(history, n_exits):
    """{(exit index, split): [(epoch over both steps, loss, accuracy)]}"""
    series = {}
    for epoch, entry in enumerate(history, start=1):
        for position, values in enumerate(entry["exits"]):
            # Step 1 trains the last exit alone.
            exit_index = n_exits - 1 if entry["phase"] == "main" else position
            for split, prefix in (("training", ""), ("validation", "validation_")):
                row = (epoch, values[f"{prefix}loss"], values[f"{prefix}accuracy"])
                series.setdefault((exit_index, split), []).append(row)
    return series


def _phases(epochs, n_main):
    """The slices of a series that lie in step 1 and in step 2: no line joins them."""
    n_in_main = sum(epoch <= n_main for epoch in epochs)
    return slice(0, n_in_main), slice(n_in_main, None)


def _scale_losses(axes):
    """A logarithmic axis with plain numbers, also where the losses span less than a power of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _accuracy_limits(history):
    """From where most of the training lies: the first epoch of a step, when it is far below, is left out."""
    values = [
        100 * values[key]
        for entry in history
        if entry["epoch"] > 1 or len(history) < 4
        for values in entry["exits"]
        for key in ("accuracy", "validation_accuracy")
    ]
    low, high = style.limits(values or [0.0, 100.0], below=0.1)
    return low, min(high, 100.5)


def _mark_phases(axes, n_main, n_epochs):
    """A line between the two steps, and their names."""
    if n_epochs == 0:
        axes.text(0.5, 0.5, "no training in this run", ha="center", va="center", transform=axes.transAxes)
        return
    axes.set_xlim(0.5, n_epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for start, stop, name in ((0, n_main, "main network"), (n_main, n_epochs, "joint")):
        if stop > start:
            centre = (start + stop) / 2 / n_epochs
            axes.text(centre, 1.01, name, ha="center", va="bottom", fontsize=style.FONT_SIZE, transform=axes.transAxes)
    if 0 < n_main < n_epochs:
        axes.axvline(n_main + 0.5, color="0.4", linewidth=1)


def _exit_handles(n_exits):
    """A legend of colours, which stand for exits."""
    handles = []
    for index in range(n_exits):
        name = f"exit {index + 1}" + (" (last)" if index == n_exits - 1 else "")
        handles.append(Line2D([], [], color=style.OF_EXITS[index % len(style.OF_EXITS)], linewidth=3, label=name))
    return handles


def _split_handles():
    """A legend of lines, which stand for splits."""
    return [Line2D([], [], color="0.3", linestyle=line, label=split) for split, line in _STYLES.items()]

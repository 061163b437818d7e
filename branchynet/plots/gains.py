"""Gains side by side: the paper's, the authors', ours by every clock and baseline."""

from branchynet.plots import style


def gains(comparisons, path) -> None:
    """Draws the gains of each network as bars.

    Args:
        comparisons: {title: [(label, gain), ...]}, as of `branchynet.report.gains_of`.
        path: of the .png.
    """
    n_bars = sum(len(rows) for rows in comparisons.values())
    figure = style.new_figure(9, 1.2 * len(comparisons) + 0.34 * n_bars)
    panels = figure.subplots(len(comparisons), 1, squeeze=False)[:, 0]
    for axes, (title, rows) in zip(panels, comparisons.items()):
        for place, (label, gain) in enumerate(reversed(rows)):
            colour = style.BLUE if label.startswith("ours, end") else style.GREY
            style.bar(axes, place, gain, f"{gain:.2f}x", colour)
        axes.set_yticks(range(len(rows)), [label for label, _ in reversed(rows)])
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xlim(0, 1.15 * max((gain for _, gain in rows), default=1))
        style.label(axes, "times faster than the plain network", "", title)
    style.save(figure, path)

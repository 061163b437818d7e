"""What all figures share: colours, axes, writing to a file."""

import pathlib

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from branchynet.machine.files import replacing
from branchynet.report.colours import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, of_exit  # noqa: F401  (for all figures)

DPI = 150
FONT_SIZE = 9


def new_figure(width_in, height_in, layout="constrained"):
    """A figure of its own, known to no window system; layout None leaves the places of the axes to the caller."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def label(axes, x_label, y_label, title=None):
    """Axis labels, a title and a light grid."""
    axes.set_xlabel(x_label, fontsize=FONT_SIZE)
    axes.set_ylabel(y_label, fontsize=FONT_SIZE)
    if title is not None:
        axes.set_title(title, fontsize=FONT_SIZE + 1)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def log_axis(axis):
    """Plain numbers on a logarithmic axis, as `axes.xaxis`, also where it spans less than a power of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_below(axes, columns=2, handles=None):
    """A legend under the axes, where it covers no point."""
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncol": columns}
    axes.legend(handles=handles, fontsize=FONT_SIZE - 1, frameon=False, **place)


def bar(axes, place, length, text, color, end=None):
    """A horizontal bar with its value as text behind it, or behind `end`, where something longer is drawn."""
    axes.barh(place, length, height=0.62, color=color)
    axes.annotate(text, (length if end is None else end, place), (5, 0), textcoords="offset points", va="center")


def limits(values, below=0.06, above=0.06):
    """(low, high) around values, with margins as shares of their range; a range of nothing becomes one of 2 %."""
    low, high = min(values), max(values)
    span = (high - low) or 0.02 * abs(high) or 1.0
    return low - below * span, high + above * span


def save(figure, *paths):
    """Writes a figure in the format that each path's ending says.

    Raises:
        OutputError: a file cannot be written; what was there stays.
    """
    for path in map(pathlib.Path, paths):
        ending = path.suffix[1:].lower()
        # Without a date the same record gives the same file.
        metadata = {"CreationDate": None} if ending == "pdf" else None
        with replacing(path) as handle:
            figure.savefig(handle, format=ending, metadata=metadata)

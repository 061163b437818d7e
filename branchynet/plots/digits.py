"""The easiest and the hardest samples that left at each exit, with their entropies."""

import numpy as np

from branchynet.plots import style

# Inches: an image and the gap beside it, a row with its text, the names of the rows, the title.
_IMAGE_IN, _GAP_IN, _ROW_IN, _NAMES_IN, _TITLE_IN = 0.85, 0.2, 1.45, 1.35, 0.45
_TEXT_SIZE = style.FONT_SIZE - 1.5


def exits(images, records, exits_taken, path, class_names, n=8) -> None:
    """Draws for each exit the samples that left there with the lowest and the highest entropy.

    Args:
        images: (N, 1 or 3, H, W) uint8.
        records: `branchynet.thresholds.ExitRecords` of these images, by the entropy.
        exits_taken: (N,) integers, 0 for the first exit: `ExitRecords.exits_at`.
        path: the file; its ending says the format.
        class_names: names of the classes.
        n: samples in a row.

    Raises:
        OutputError: the file cannot be written.
    """
    answers, entropies = (
        np.take_along_axis(by_exit, exits_taken[None], axis=0)[0] for by_exit in (records.predictions, records.scores)
    )
    rows = [row for exit_index in range(records.n_exits) for row in _rows(entropies, exits_taken, exit_index, n)]
    width_in, height_in = _NAMES_IN + n * (_IMAGE_IN + _GAP_IN), _TITLE_IN + len(rows) * _ROW_IN
    figure = style.new_figure(width_in, height_in, layout=None)

    def place(row, left_in):
        """Axes for an image whose left edge is at `left_in`."""
        bottom_in = height_in - _TITLE_IN - row * _ROW_IN - 0.25 - _IMAGE_IN
        axes = figure.add_axes([left_in / width_in, bottom_in / height_in, _IMAGE_IN / width_in, _IMAGE_IN / height_in])
        axes.set_axis_off()
        return axes

    for row, (name, indices) in enumerate(rows):
        _write(place(row, 0.1), name)
        if len(indices) == 0:
            _write(place(row, _NAMES_IN), "no sample left here")
        for column, index in enumerate(indices):
            truth, answer = (class_names[labels[index]] for labels in (records.labels, answers))
            axes = place(row, _NAMES_IN + column * (_IMAGE_IN + _GAP_IN))
            _draw_sample(axes, images[index], entropies[index], truth, answer)
    title = "Which samples leave where, and the entropy (nats) at which they leave"
    figure.text(0.5, 1 - 0.2 / height_in, title, ha="center", va="center", fontsize=style.FONT_SIZE + 1)
    style.save(figure, path)


def _write(axes, text):
    axes.text(0, 0.5, text, va="center", fontsize=style.FONT_SIZE, transform=axes.transAxes)


def _rows(entropies, exits_taken, exit_index, n):
    """The two rows of an exit: (name, indices of at most n samples); the hardest sample stands first in its row."""
    here = np.flatnonzero(exits_taken == exit_index)
    in_order = here[np.argsort(entropies[here], kind="stable")]
    share = f"{len(here):,} of {len(exits_taken):,}"
    return [
        (f"exit {exit_index + 1}, easiest\n({share})", in_order[:n]),
        (f"exit {exit_index + 1}, hardest", in_order[::-1][:n]),
    ]


def _draw_sample(axes, image, entropy, truth, answer):
    """An image, the entropy above, its class and the answer below; a wrong answer in red."""
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)  # (1, H, W) -> (H, W); (3, H, W) -> (H, W, 3)
    axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    text = {"ha": "center", "fontsize": _TEXT_SIZE, "transform": axes.transAxes}
    # What is too small to matter is said to be so.
    axes.text(0.5, 1.04, "< 0.0001" if entropy < 1e-4 else f"{entropy:.3g}", va="bottom", **text)
    axes.text(0.5, -0.04, f"true {truth}", va="top", **text)
    axes.text(0.5, -0.21, f"said {answer}", va="top", color="black" if answer == truth else style.RED, **text)

"""The easiest and the hardest samples that left at each exit, with their entropies."""

from __future__ import annotations

import numpy as np

from branchynet.plots import style

# Inches: an image and the gap beside it, a row with its text, the names of the rows, the title.
_IMAGE_IN, _GAP_IN, _ROW_IN, _NAMES_IN, _TITLE_IN = 0.85, 0.2, 1.45, 1.35, 0.45
_TEXT_SIZE = style.FONT_SIZE - 1.5


def exits(images, labels, result, path, class_names, n=8) -> None:
    """Draws for each exit the samples that left there with the lowest and the highest entropy.

    Args:
        images: (N, 1 or 3, H, W) uint8.
        labels: (N,) integers, the truth.
        result: {"label": (N,) integers, the answers; "exit": (N,) integers, 0 for the first exit; "entropy": (N,) nats,
            at the exit where each sample left; "n_exits": their number, if the last ones may be empty}.
        path: the file; its ending says the format.
        class_names: names of the classes.
        n: samples in a row.

    Raises:
        OutputError: the file cannot be written.
    """
    left_at = np.asarray(result["exit"])
    n_exits = int(result.get("n_exits", left_at.max(initial=0) + 1))
    rows = [row for exit_index in range(n_exits) for row in _rows(result, left_at, exit_index, n)]
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
            answer, truth = int(result["label"][index]), int(labels[index])
            axes = place(row, _NAMES_IN + column * (_IMAGE_IN + _GAP_IN))
            _draw_sample(axes, images[index], float(result["entropy"][index]), class_names[truth], class_names[answer])
    title = "Which samples leave where, and the entropy (nats) at which they leave"
    figure.text(0.5, 1 - 0.2 / height_in, title, ha="center", va="center", fontsize=style.FONT_SIZE + 1)
    style.save(figure, path)


def _write(axes, text):
    axes.text(0, 0.5, text, va="center", fontsize=style.FONT_SIZE, transform=axes.transAxes)


def _rows(result, left_at, exit_index, n):
    """The two rows of an exit: (name, indices of at most n samples); the hardest sample stands first in its row."""
    here = np.flatnonzero(left_at == exit_index)
    in_order = here[np.argsort(np.asarray(result["entropy"])[here], kind="stable")]
    share = f"{len(here):,} of {len(left_at):,}"
    return [
        (f"exit {exit_index + 1}, easiest\n({share})", in_order[:n]),
        (f"exit {exit_index + 1}, hardest", in_order[::-1][:n]),
    ]


def _draw_sample(axes, image, entropy, truth, answer):
    """An image, the entropy above, its class and the answer below; a wrong answer in red."""
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)  # (1, H, W) -> (H, W); (3, H, W) -> (H, W, 3)
    axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    text = {"ha": "center", "fontsize": _TEXT_SIZE, "transform": axes.transAxes}
    axes.text(0.5, 1.04, _entropy_text(entropy), va="bottom", **text)
    axes.text(0.5, -0.04, f"true {truth}", va="top", **text)
    axes.text(0.5, -0.21, f"said {answer}", va="top", color="black" if answer == truth else style.RED, **text)


def _entropy_text(entropy):
    """Three significant digits; what is too small to matter is said to be so."""
    return "< 0.0001" if entropy < 1e-4 else f"{entropy:.3g}"

"""The easiest and the hardest samples that left at each exit, with their entropies."""

from __future__ import annotations

import numpy as np

from branchynet.plots import style

_CELL_IN, _LABELS_IN = 1.0, 1.15


def exits(images, labels, result, path, class_names, n=8) -> None:
    """Draws for each exit the samples that left there with the lowest and the highest entropy.

    Args:
        images: (N, 1 or 3, H, W) uint8.
        labels: (N,) integers, the truth.
        result: {"label": (N,) integers, the answers; "exit": (N,) integers, 0 for the first exit; "entropy": (N,) nats,
            at the exit where each sample left}.
        path: the file; its ending says the format.
        class_names: names of the classes.
        n: samples in a row.

    Raises:
        OutputError: the file cannot be written.
    """
    left_at = np.asarray(result["exit"])
    n_exits = int(result["n_exits"]) if "n_exits" in result else int(left_at.max(initial=0)) + 1
    rows = [row for exit_index in range(n_exits) for row in _rows(result, left_at, exit_index, n)]
    figure = style.new_figure(_LABELS_IN + n * _CELL_IN, 0.5 + 1.45 * len(rows))
    grid = figure.subplots(len(rows), n + 1, squeeze=False, gridspec_kw={"width_ratios": [_LABELS_IN] + [1] * n})
    for axes_row, (name, indices) in zip(grid, rows):
        for axes in axes_row:
            axes.set_axis_off()
        axes_row[0].text(0.0, 0.5, name, va="center", fontsize=style.FONT_SIZE, transform=axes_row[0].transAxes)
        if len(indices) == 0:
            axes_row[1].text(
                0.0, 0.5, "no sample left here", va="center", fontsize=style.FONT_SIZE, transform=axes_row[1].transAxes
            )
        for axes, index in zip(axes_row[1:], indices):
            answer, truth = int(result["label"][index]), int(labels[index])
            _draw_sample(axes, images[index], float(result["entropy"][index]), class_names, truth, answer)
    figure.suptitle(
        "Which samples leave where, and how sure the exit is (entropy in nats)", fontsize=style.FONT_SIZE + 2
    )
    style.save(figure, path)


def _rows(result, left_at, exit_index, n):
    """The two rows of an exit: (name, indices of at most n samples); the hardest sample stands first in its row."""
    here = np.flatnonzero(left_at == exit_index)
    in_order = here[np.argsort(np.asarray(result["entropy"])[here], kind="stable")]
    share = f"{len(here):,} of {len(left_at):,}"
    return [
        (f"exit {exit_index + 1}, easiest\n({share})", in_order[:n]),
        (f"exit {exit_index + 1}, hardest", in_order[::-1][:n]),
    ]


def _draw_sample(axes, image, entropy, class_names, truth, answer):
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)  # (1, H, W) -> (H, W), (3, H, W) -> (H, W, 3)
    axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(_entropy_text(entropy), fontsize=style.FONT_SIZE - 1, pad=3)
    text = {"ha": "center", "va": "top", "fontsize": style.FONT_SIZE - 1, "transform": axes.transAxes}
    axes.text(0.5, -0.04, f"true: {class_names[truth]}", **text)
    right = answer == truth
    axes.text(
        0.5,
        -0.24,
        f"said: {class_names[answer]}",
        color="black" if right else style.RED,
        fontweight="normal" if right else "bold",
        **text,
    )


def _entropy_text(entropy):
    """Two significant digits; what is too small to matter is said to be so."""
    return "< 0.0001" if entropy < 1e-4 else f"{entropy:.2g}"

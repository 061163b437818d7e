"""Which test images a report holds, and how: as tiles of one PNG."""

import base64
import io
import math

import numpy as np
from PIL import Image

# Of each exit the easiest and the hardest, as many as a row shows; of spoilt and saved ones as many as are shown.
IN_A_ROW = 8
SHOWN_CHANGES = 16
_MOST = 800
_MOST_BYTES = 400_000


def choose_images(records, thresholds, n_images: int) -> np.ndarray:
    """The images that a reader is most likely to ask for.

    First come those that are shown at one setting of T: the easiest and the hardest of each exit, those that an early
    exit spoils and those that it saves. Then those that other settings would spoil or save, the surest first. The rest
    is spread over the entropies of the early exits, so that there are hard ones for every T.

    Args:
        records: `branchynet.thresholds.ExitRecords`, by the entropy.
        thresholds: one T for each early exit.
        n_images: how many at most.

    Returns:
        (n,) indices, distinct, the most important first.
    """
    exits, right = records.exits_at(thresholds), records.right
    chosen = []
    for index in range(records.n_exits):
        here = _by_score(records, index, exits == index)
        chosen += [here[:IN_A_ROW], here[::-1][:IN_A_ROW]]
    changes = [
        (index, changed)
        for index in range(records.n_exits - 1)
        for changed in (~right[index] & right[-1], right[index] & ~right[-1])
    ]
    chosen += [_by_score(records, index, changed & (exits == index))[:SHOWN_CHANGES] for index, changed in changes]
    chosen += [_by_score(records, index, changed)[: n_images // 8] for index, changed in changes]
    first = _distinct(chosen)[:n_images]
    n_each = (n_images - len(first)) // max(1, records.n_exits - 1)
    everything = np.ones(len(records.labels), bool)
    spread = np.linspace(0, len(records.labels) - 1, n_each).astype(int)
    return _distinct([first, *(_by_score(records, index, everything)[spread] for index in range(records.n_exits - 1))])


def _distinct(parts):
    """Indices of several arrays, each once, in order."""
    return np.array(list(dict.fromkeys(np.concatenate(parts).tolist())), int)


def _by_score(records, exit_index, which):
    """Indices of the samples that a mask names, the surest of that exit first."""
    rows = np.flatnonzero(which)
    return rows[np.argsort(records.scores[exit_index, rows], kind="stable")]


def tiles(images, records, thresholds) -> dict:
    """As many of the images of `choose_images` as fit into a report.

    Args:
        images: (N, 1 or 3, H, W) uint8.

    Returns:
        JSON-able: rows (indices of the images), columns, height, width of a tile in pixels, png (base64).
    """
    n_images = min(_MOST, len(images))
    while True:
        rows = choose_images(records, thresholds, n_images)
        columns, png = _png(images[rows])
        if len(png) <= _MOST_BYTES or n_images <= 1:
            break
        n_images = max(1, int(0.95 * n_images * _MOST_BYTES / len(png)))
    height, width = images.shape[2:]
    encoded = base64.b64encode(png).decode("ascii")
    return {"rows": rows.tolist(), "columns": columns, "height": height, "width": width, "png": encoded}


def _png(images):
    """Images (n, 1 or 3, H, W) uint8 side by side in a square: (tiles in a row, the file)."""
    n, channels, height, width = images.shape
    columns = max(1, math.ceil(math.sqrt(n)))
    n_rows = math.ceil(n / columns)
    sheet = np.zeros((n_rows * columns, channels, height, width), np.uint8)
    sheet[:n] = images
    # (rows, columns, C, H, W) -> (rows, H, columns, W, C)
    sheet = sheet.reshape(n_rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(n_rows * height, columns * width, channels)
    file = io.BytesIO()
    Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet).save(file, "PNG", optimize=True)
    return columns, file.getvalue()

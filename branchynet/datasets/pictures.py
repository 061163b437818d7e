"""Pictures of one's own as samples: any file that Pillow reads, in the size and the colours of a network's samples."""

import os

import numpy as np
from PIL import Image

from branchynet.errors import DataError


def read_picture(path, sample_shape, invert=False) -> np.ndarray:
    """Reads a picture as a sample.

    Args:
        path: of a PNG, JPEG or other file that Pillow reads. What is transparent in it becomes white.
        sample_shape: (C, H, W): C = 1 makes it grey, 3 red, green and blue; the picture is scaled to H x W pixels.
        invert: black becomes white: MNIST's digits are light on dark.

    Returns:
        (C, H, W) uint8.

    Raises:
        DataError: there is no such file, it is no picture or a damaged one, or such samples are no pictures.
    """
    channels, height, width = sample_shape if len(sample_shape) == 3 else (0, 0, 0)
    if channels not in (1, 3):
        raise DataError(f"picture: expected a network of samples (1 or 3, H, W), got one of {tuple(sample_shape)}")
    if not os.path.isfile(path):
        raise DataError(f"{path}: expected a picture, got no such file")
    try:
        with Image.open(path) as picture:
            shown = _on_white(picture).convert("L" if channels == 1 else "RGB")
            scaled = shown.resize((width, height), Image.Resampling.BOX)
    except Exception as error:  # Pillow raises almost anything on a damaged file
        raise DataError(f"{path}: expected a picture, got a damaged file or another kind ({error})") from error
    pixels = np.asarray(scaled, dtype=np.uint8).reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(255 - pixels if invert else pixels)


def _on_white(picture):
    """A picture of 8 bits a colour, without transparency."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA"))

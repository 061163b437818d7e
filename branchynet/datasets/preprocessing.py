"""From the uint8 images of a data set to the float32 that a network takes. Works on NumPy and CuPy arrays alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from chainer.backend import get_array_module

from branchynet.errors import DataError

_CHUNK_IMAGES = 1000
_N_LEVELS = 256


def scale(images):
    """Scale pixels to [0, 1].

    Args:
        images: uint8, any shape.

    Returns:
        images / 255, float32, same shape, in [0, 1].

    Raises:
        DataError: The images are not uint8: they have been scaled already, perhaps.
    """
    if images.dtype != np.uint8:
        raise DataError(f"scale: expected uint8 images, got {images.dtype}")
    scaled = images.astype(np.float32)
    scaled /= 255  # in place: no copy of the whole set besides the result
    return scaled


@dataclass(frozen=True)
class Normaliser:
    """Scale images to [0, 1], then to mean 0 and standard deviation 1 in each channel of the images it was fitted on.

    Fit it on the training part alone: statistics of validation or test images must not reach the network.

    Attributes:
        mean, std: One value for each channel, in units of the scaled images, [0, 1].
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        if not self.mean or len(self.mean) != len(self.std):
            raise DataError(f"normaliser: expected one mean and one std a channel, got {self.mean} and {self.std}")
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(self.std)) or min(self.std) <= 0:
            raise DataError(f"normaliser: expected finite means and positive stds, got {self.mean} and {self.std}")

    @classmethod
    def fit(cls, images) -> Normaliser:
        """Take mean and standard deviation of each channel of `images`, (N, C, H, W) uint8, N > 0.

        They are computed from a histogram of the 256 levels: exact to float64, and without a float copy of the images.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
            raise DataError(f"normaliser: expected uint8 (N, C, H, W), N > 0; got {images.dtype} {images.shape}")
        levels = np.arange(_N_LEVELS) / 255
        mean, std = [], []
        for counts in _histograms(images):
            probability = counts / counts.sum()
            mean.append(float(probability @ levels))
            std.append(float(np.sqrt(probability @ (levels - mean[-1]) ** 2)))
        return cls(tuple(mean), tuple(std))

    def __call__(self, images):
        """Normalise `images`, (N, C, H, W) uint8; float32 of the same shape is returned."""
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise DataError(f"normaliser: expected images (N, {len(self.mean)}, H, W), got {images.shape}")
        xp = get_array_module(images)
        normalised = scale(images)
        normalised -= xp.asarray(self.mean, np.float32).reshape(1, -1, 1, 1)
        normalised /= xp.asarray(self.std, np.float32).reshape(1, -1, 1, 1)
        return normalised

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for a JSON record; `from_dict` takes them back without loss."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, list[float]]) -> Normaliser:
        """The normaliser of a record made by `to_dict`."""
        try:
            return cls(*(tuple(float(value) for value in record[name]) for name in ("mean", "std")))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"normaliser: expected a record with lists mean and std, got {record!r}") from error


def _histograms(images) -> np.ndarray:
    """Number of pixels of each level in each channel, (C, 256) int64."""
    xp = get_array_module(images)
    n_channels = images.shape[1]
    counts = np.zeros((n_channels, _N_LEVELS), np.int64)
    # bincount works on a copy of eight bytes a pixel: a chunk at a time keeps that small.
    for start in range(0, len(images), _CHUNK_IMAGES):
        chunk = images[start : start + _CHUNK_IMAGES]
        for channel in range(n_channels):
            in_chunk = xp.bincount(chunk[:, channel].ravel(), minlength=_N_LEVELS)
            counts[channel] += in_chunk.get() if hasattr(in_chunk, "get") else in_chunk
    return counts

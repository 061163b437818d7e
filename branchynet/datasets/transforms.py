"""Transforms: from the uint8 images of a data set to the float32 that a network takes, on NumPy and CuPy alike.

A transform is fitted to training images alone, is called with images, and gives what it learned as `arrays`, so that
weights can be saved with it (`branchynet.serialization`) and used without the data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from chainer.backend import get_array_module

from branchynet.datasets.samples import describe
from branchynet.errors import DataError
from branchynet.gate import floats, shown
from branchynet.machine.devices import to_host

_CHUNK_IMAGES = 1000
# Added to the variances, in units of scaled pixels: without it the noise of flat images would be blown up.
_REGULARISATION = 0.1
# A flat image has no deviation of its own to be divided by.
SMALLEST_STD = 1e-2


@dataclass(frozen=True)
class Scale:
    """Scales pixels to [0, 1]."""

    name = "scale"

    @classmethod
    def fit(cls, images) -> Scale:
        """There is nothing to learn."""
        return cls()

    def __call__(self, images):
        """images uint8, any shape -> images / 255, float32, same shape.

        Raises:
            DataError: the images are not uint8: they have been scaled already, perhaps.
        """
        if getattr(images, "dtype", None) != np.uint8:
            raise DataError(f"scale: expected uint8 images, got {describe(images)}")
        scaled = images.astype(np.float32)
        scaled /= 255  # in place: no copy of the whole set besides the result
        return scaled

    def arrays(self) -> dict:
        """{}: nothing was learned."""
        return {}


scale = Scale()


@dataclass(frozen=True)
class Normalise:
    """Scales images to [0, 1], then to mean 0 and standard deviation 1 in each channel of the images it was fitted to.

    Attributes:
        mean, std: one float for each channel, in units of the scaled images, [0, 1].

    Raises:
        DataError: they are not finite, not one for each channel, or a std is not positive.
    """

    name = "normalise"
    mean: tuple
    std: tuple

    def __post_init__(self):
        mean, std = floats(self.mean), floats(self.std)
        is_whole = mean and std and len(mean) == len(std) and np.isfinite(mean + std).all()
        if not is_whole or min(std) <= 0:
            got = f"{shown(self.mean)} and {shown(self.std)}"
            raise DataError(f"normalise: expected a finite mean and a positive std for each channel, got {got}")
        vars(self).update(mean=mean, std=std)

    @classmethod
    def fit(cls, images) -> Normalise:
        """Takes mean and standard deviation of each channel of images (N, C, H, W) uint8, N > 0.

        They are computed from a histogram of the 256 levels: exact to float64, and without a float copy of the images.
        """
        _check_images("normalise", images, 1)
        xp = get_array_module(images)
        levels = np.arange(256) / 255
        # bincount works on a copy of eight bytes a pixel: a chunk at a time keeps that small
        chunks = [images[start : start + _CHUNK_IMAGES] for start in range(0, len(images), _CHUNK_IMAGES)]
        mean, std = [], []
        for channel in range(images.shape[1]):
            counts = to_host(sum(xp.bincount(chunk[:, channel].ravel(), minlength=256) for chunk in chunks))
            probability = counts / counts.sum()  # (256,)
            mean.append(probability @ levels)
            std.append(np.sqrt(probability @ (levels - mean[-1]) ** 2))
        return cls(mean, std)

    def __call__(self, images):
        """images (N, C, H, W) uint8 -> float32 of the same shape."""
        if getattr(images, "ndim", 0) != 4 or images.shape[1] != len(self.mean):
            raise DataError(f"normalise: expected images (N, {len(self.mean)}, H, W), got {describe(images)}")
        xp = get_array_module(images)
        normalised = scale(images)
        normalised -= xp.asarray(self.mean, np.float32).reshape(1, -1, 1, 1)
        normalised /= xp.asarray(self.std, np.float32).reshape(1, -1, 1, 1)
        return normalised

    def arrays(self) -> dict:
        """{"mean", "std"}: (C,) float64."""
        return {"mean": np.array(self.mean), "std": np.array(self.std)}


@dataclass(frozen=True, eq=False)
class Whiten:
    """ZCA whitening of images that are each scaled first: what the authors trained on for CIFAR-10.

    Their file of whitened images can no longer be had, so this is the usual recipe (Krizhevsky 2009, Appendix A; Coates
    et al. 2011, section 3.1): every image to mean 0 and standard deviation 1 over its own pixels, then a rotation-free
    linear map that makes all pixels uncorrelated over the training images.

    Attributes:
        mean: (C * H * W,) float32, mean of the scaled training images.
        matrix: (C * H * W, C * H * W) float32, symmetric: covariance ** -1/2.

    Raises:
        DataError: they are of other shapes, or not finite.
    """

    name = "zca"
    mean: np.ndarray
    matrix: np.ndarray

    def __post_init__(self):
        try:
            arrays = {name: np.asarray(getattr(self, name), np.float32) for name in ("mean", "matrix")}
        except (TypeError, ValueError, OverflowError) as error:
            got = f"{shown(self.mean)} and {shown(self.matrix)}"
            raise DataError(f"zca: expected a mean (K,) and a matrix (K, K), got {got}") from error
        vars(self).update(arrays)
        is_whole = self.mean.ndim == 1 and self.matrix.shape == self.mean.shape * 2
        if not is_whole or not np.isfinite(self.matrix).all() or not np.isfinite(self.mean).all():
            got = f"{self.mean.shape} and {self.matrix.shape}"
            raise DataError(f"zca: expected a finite mean (K,) and a finite matrix (K, K), got {got}")

    @classmethod
    def fit(cls, images) -> Whiten:
        """Takes mean and covariance of images (N, C, H, W) uint8, N > 1; for CIFAR-10 that takes half a minute."""
        _check_images("zca", images, 2)
        n_pixels = images[0].size
        total, squares = np.zeros(n_pixels), np.zeros((n_pixels, n_pixels))
        for start in range(0, len(images), _CHUNK_IMAGES):
            rows = _scaled_each(images[start : start + _CHUNK_IMAGES])
            total += rows.sum(axis=0, dtype=np.float64)
            squares += rows.T @ rows
        mean = total / len(images)
        covariance = squares / len(images) - np.outer(mean, mean)
        variances, directions = np.linalg.eigh(covariance)
        factors = 1 / np.sqrt(np.maximum(variances, 0) + _REGULARISATION)
        return cls(mean, (directions * factors) @ directions.T)

    def __call__(self, images):
        """images (N, C, H, W) uint8 -> float32 of the same shape."""
        if getattr(images, "ndim", 0) != 4 or math.prod(images.shape[1:]) != len(self.mean):
            raise DataError(f"zca: expected images (N, C, H, W) of {len(self.mean)} numbers, got {describe(images)}")
        xp = get_array_module(images)
        rows = (_scaled_each(images) - xp.asarray(self.mean)) @ xp.asarray(self.matrix)
        return rows.reshape(images.shape)

    def arrays(self) -> dict:
        """{"mean", "matrix"}, as above."""
        return {"mean": self.mean, "matrix": self.matrix}


TRANSFORMS = {kind.name: kind for kind in (Scale, Normalise, Whiten)}


def transform_from(name, arrays):
    """The transform of that name that learned these arrays.

    Args:
        name: of `TRANSFORMS`.
        arrays: what its `arrays` gave.

    Raises:
        DataError: there is no such transform, or the arrays are another one's.
    """
    if not isinstance(name, str) or name not in TRANSFORMS:
        raise DataError(f"transform: expected one of {', '.join(TRANSFORMS)}, got {shown(name)}")
    try:
        return TRANSFORMS[name](**arrays)
    except (TypeError, ValueError) as error:
        raise DataError(f"transform {name}: expected its own arrays, got {', '.join(arrays) or 'none'}") from error


def per_channel(transform, n_channels) -> tuple | None:
    """(mean, std), a float for each channel, of a transform that is (pixels / 255 - mean) / std; None for another."""
    if isinstance(transform, Scale):
        return (0.0,) * n_channels, (1.0,) * n_channels
    return (transform.mean, transform.std) if isinstance(transform, Normalise) else None


def _check_images(name, images, n_least):
    is_batch = getattr(images, "dtype", None) == np.uint8 and images.ndim == 4
    if not is_batch or len(images) < n_least or not images.size:
        raise DataError(f"{name}: expected uint8 (N, C, H, W), N >= {n_least}; got {describe(images)}")


def _scaled_each(images):
    """(N, C, H, W) uint8 -> (N, C * H * W) float32, each image with mean 0 and standard deviation 1."""
    rows = scale(images).reshape(len(images), math.prod(images.shape[1:]))
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / rows.std(axis=1, keepdims=True).clip(SMALLEST_STD)

"""ZCA whitening of images that are each scaled first: what the authors trained on for CIFAR-10.

Their file of whitened images can no longer be had, so this is the usual recipe (Krizhevsky 2009, Appendix A; Coates et
al. 2011, section 3.1): every image to mean 0 and standard deviation 1 over its own pixels, then a rotation-free linear
map that makes all pixels uncorrelated over the training images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from chainer.backend import get_array_module

from branchynet.datasets.preprocessing import scale
from branchynet.errors import DataError

_CHUNK_IMAGES = 1000
# Added to the variances, in units of scaled pixels: without it the noise of flat images would be blown up.
_REGULARISATION = 0.1
_SMALLEST_STD = 1e-2


@dataclass(frozen=True, eq=False)
class Whitener:
    """Scales each image by its own pixels, then whitens it with the statistics of the images it was fitted on.

    Attributes:
        mean: (C * H * W,) float32, mean of the scaled training images.
        matrix: (C * H * W, C * H * W) float32, symmetric: covariance ** -1/2.
    """

    mean: np.ndarray
    matrix: np.ndarray

    @classmethod
    def fit(cls, images) -> Whitener:
        """Takes mean and covariance of `images`, (N, C, H, W) uint8, N > 1; for CIFAR-10 that takes half a minute.

        Raises:
            DataError: images of another kind.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) < 2:
            raise DataError(f"whitener: expected uint8 (N, C, H, W), N > 1; got {images.dtype} {images.shape}")
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
        return cls(mean.astype(np.float32), ((directions * factors) @ directions.T).astype(np.float32))

    def __call__(self, images):
        """Whitens `images`, (N, C, H, W) uint8; float32 of the same shape is returned."""
        if images.ndim != 4 or math.prod(images.shape[1:]) != len(self.mean):
            raise DataError(f"whitener: expected images of {len(self.mean)} numbers, got {images.shape}")
        xp = get_array_module(images)
        rows = (_scaled_each(images) - xp.asarray(self.mean)) @ xp.asarray(self.matrix)
        return rows.reshape(images.shape)


def _scaled_each(images):
    """(N, C, H, W) uint8 -> (N, C * H * W) float32, each image with mean 0 and standard deviation 1."""
    rows = scale(images).reshape(len(images), math.prod(images.shape[1:]))
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / rows.std(axis=1, keepdims=True).clip(_SMALLEST_STD)

"""Batch normalisation of images in training (Ioffe and Szegedy, arXiv 1502.03167), fast on the CPU.

The results are Chainer's. Chainer reads the whole batch from main memory about ten times forward and ten times
backward; here it is read twice each way, chunk by chunk.
"""

from __future__ import annotations

import chainer
import numpy as np
from chainer.utils import type_check

from branchynet.functions.choice import computes_here
from branchynet.machine.memory import chunks, scratch
from branchynet.machine.threads import map_strips


def batch_normalization(x, gamma, beta, eps=2e-5, running_mean=None, running_var=None, decay=0.9):
    """``gamma * (x - mean) / sqrt(var + eps) + beta`` per channel, with the statistics of the batch.

    Args:
        x: (N, C, H, W) float Variable or array.
        gamma, beta: (C,).
        eps: added to the variance.
        running_mean, running_var: (C,) arrays, moved in place towards the statistics of the batch; or None.
        decay: the share of the running statistics that stays.

    Returns:
        Variable of the shape and dtype of x.
    """
    if not computes_here(x):
        return chainer.functions.batch_normalization(
            x, gamma, beta, eps=eps, running_mean=running_mean, running_var=running_var, decay=decay
        )
    function = _BatchNormalization(eps)
    y = function.apply((x, gamma, beta))[0]
    if running_mean is not None:
        n_numbers = x.size // x.shape[1]
        unbiased = function.variance * (n_numbers / max(n_numbers - 1, 1))
        for running, batch in ((running_mean, function.mean), (running_var, unbiased)):
            running *= decay
            running += (1 - decay) * batch
    return y


class _BatchNormalization(chainer.FunctionNode):
    def __init__(self, eps):
        super().__init__()
        self.eps = eps
        self.mean = self.variance = self.inverse_std = None

    def check_type_forward(self, in_types):
        x, gamma, beta = in_types
        type_check.expect(x.dtype.kind == "f", x.ndim == 4, gamma.shape == (x.shape[1],), beta.shape == (x.shape[1],))

    def forward(self, inputs):
        x, gamma, beta = inputs
        self.retain_inputs((0, 1))
        self.mean, self.variance = _statistics(x)
        self.inverse_std = 1 / np.sqrt(self.variance + self.eps)
        factor = (gamma * self.inverse_std).astype(x.dtype)
        offset = (beta - self.mean * gamma * self.inverse_std).astype(x.dtype)
        y = np.empty_like(x)

        def normalise(start, stop):
            for chunk in chunks(start, stop, 2 * x[:1].nbytes):
                np.multiply(x[chunk], factor[:, None, None], out=y[chunk])
                y[chunk] += offset[:, None, None]

        map_strips(normalise, len(x))
        return (y,)

    def backward(self, indexes, grad_outputs):
        x, gamma = self.get_retained_inputs()
        return _Gradients(self).apply((x, gamma, grad_outputs[0]))


class _Gradients(chainer.FunctionNode):
    """x, gamma, gy -> the gradients of x, gamma and beta."""

    def __init__(self, forward):
        super().__init__()
        self.mean, self.inverse_std = forward.mean, forward.inverse_std

    def forward(self, inputs):
        x, gamma, gy = inputs
        n_numbers = x.size // x.shape[1]
        g_beta, products = self._sums(x, gy)
        g_gamma = (products - self.mean * g_beta) * self.inverse_std
        # gx = gamma / std * (gy - mean(gy) - x_hat * mean(gy * x_hat)), as a * gy + b * x + c for each channel.
        a = gamma * self.inverse_std
        b = -a * self.inverse_std * g_gamma / n_numbers
        c = -a * g_beta / n_numbers - b * self.mean
        a, b, c = (factor.astype(x.dtype)[:, None, None] for factor in (a, b, c))
        gx = np.empty_like(x)

        def differentiate(start, stop):
            for chunk in chunks(start, stop, 4 * x[:1].nbytes):
                part = scratch("normalised", x[chunk].shape, x.dtype)
                np.multiply(x[chunk], b, out=part)
                part += c
                np.multiply(gy[chunk], a, out=gx[chunk])
                gx[chunk] += part

        map_strips(differentiate, len(x))
        return gx, g_gamma.astype(gamma.dtype), g_beta.astype(gamma.dtype)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError("batch normalisation on the CPU has no second derivative here; use Chainer's own")

    @staticmethod
    def _sums(x, gy):
        """Sums over all but the channels, float64: of gy, and of gy * x."""

        def add_up(start, stop):
            of_gy, of_products = np.zeros(x.shape[1]), np.zeros(x.shape[1])
            for chunk in chunks(start, stop, 3 * x[:1].nbytes):
                part = scratch("normalised", x[chunk].shape, x.dtype)
                np.multiply(gy[chunk], x[chunk], out=part)
                of_gy += _sum_of_images(gy[chunk])
                of_products += _sum_of_images(part)
            return of_gy, of_products

        return (sum(parts) for parts in zip(*map_strips(add_up, len(x))))


def _statistics(x):
    """Mean and variance of each channel, float64; those of chunks are combined as in Chan, Golub and LeVeque (1979)."""

    def collect(start, stop):
        parts = []
        for chunk in chunks(start, stop, 2 * x[:1].nbytes):
            n_numbers = x[chunk].size // x.shape[1]
            mean = _sum_of_images(x[chunk]) / n_numbers
            deviations = scratch("normalised", x[chunk].shape, x.dtype)
            np.subtract(x[chunk], mean.astype(x.dtype)[:, None, None], out=deviations)
            np.multiply(deviations, deviations, out=deviations)
            parts.append((n_numbers, mean, _sum_of_images(deviations)))
        return parts

    parts = [part for strip in map_strips(collect, len(x)) for part in strip]
    counts = np.array([n for n, _, _ in parts], dtype=np.float64)[:, None]
    means = np.stack([mean for _, mean, _ in parts])
    mean = (counts * means).sum(axis=0) / counts.sum()
    squares = sum(square for _, _, square in parts) + (counts * (means - mean) ** 2).sum(axis=0)
    return mean, squares / counts.sum()


def _sum_of_images(images):
    """(n, C, H, W) -> (C,) float64; the sum within an image is taken in the precision of the images."""
    return images.reshape(*images.shape[:2], -1).sum(axis=2).sum(axis=0, dtype=np.float64)

"""Batch normalisation of images in training (Ioffe and Szegedy, arXiv 1502.03167) by the kernels of `normalisation.c`.

The results are Chainer's. Chainer reads the whole batch from main memory about ten times forward and ten times
backward; here it is read twice each way, what a residual block does next included: its shortcut and ReLU.
"""

import chainer
import numpy as np
from chainer.utils import type_check

from branchynet.functions.kernels import call_strips, computes_here
from branchynet.functions.relu import through_relu


def batch_normalization(
    x, gamma, beta, eps=2e-5, running_mean=None, running_var=None, decay=0.9, shortcut=None, relu=False
):
    """``gamma * (x - mean) / sqrt(var + eps) + beta`` per channel, with the statistics of the batch.

    Args:
        x: (N, C, H, W) float Variable or array.
        gamma, beta: (C,).
        eps: added to the variance.
        running_mean, running_var: (C,) arrays, moved in place towards the statistics of the batch; or None.
        decay: the share of the running statistics that stays.
        shortcut: of the shape of x, added to the result; or None.
        relu: whether negative numbers then become 0.

    Returns:
        Variable of the shape and dtype of x.
    """
    if not computes_here(x):
        y = chainer.functions.batch_normalization(
            x, gamma, beta, eps=eps, running_mean=running_mean, running_var=running_var, decay=decay
        )
        return add_and_relu(y, shortcut, relu)
    function = _BatchNormalization(eps, relu)
    y = function.apply((x, gamma, beta) if shortcut is None else (x, gamma, beta, shortcut))[0]
    if running_mean is not None:
        n_numbers = x.size // x.shape[1]
        unbiased = function.variance * (n_numbers / max(n_numbers - 1, 1))
        for running, batch in ((running_mean, function.mean), (running_var, unbiased)):
            running *= decay
            running += (1 - decay) * batch
    return y


def add_and_relu(y, shortcut=None, relu=False):
    """What may follow a batch normalisation, by Chainer's own functions."""
    y = y if shortcut is None else y + shortcut
    return chainer.functions.relu(y) if relu else y


class _BatchNormalization(chainer.FunctionNode):
    """x, gamma, beta -> y, or x, gamma, beta, shortcut -> y."""

    def __init__(self, eps, relu):
        super().__init__()
        self.eps, self.relu = eps, relu

    def check_type_forward(self, in_types):
        x, gamma, beta, *shortcut = in_types
        type_check.expect(x.dtype.kind == "f", x.ndim == 4, gamma.shape == (x.shape[1],), beta.shape == (x.shape[1],))
        type_check.expect(*(same.shape == x.shape for same in shortcut))

    def forward(self, inputs):
        x, gamma, beta, *shortcut = inputs
        x, shortcut = np.ascontiguousarray(x), [np.ascontiguousarray(same) for same in shortcut]
        self.retain_inputs((0, 1))
        if self.relu:
            self.retain_outputs((0,))
        self.mean, self.variance = _statistics(x)
        self.inverse_std = 1 / np.sqrt(self.variance + self.eps)
        factor = gamma * self.inverse_std
        constants = _as_float32(factor, beta - self.mean * factor)
        y = np.empty_like(x)
        call_strips("normalise", len(x), *_sizes(x), x, *constants, *(shortcut or [None]), int(self.relu), y)
        return (y,)

    def backward(self, indexes, grad_outputs):
        x, gamma = self.get_retained_inputs()
        (gy,) = grad_outputs
        if self.relu:
            gy = through_relu(self.get_retained_outputs()[0], gy)
        gradients = *_Gradients(self).apply((x, gamma, gy)), gy
        return tuple(gradients[index] for index in indexes)


class _Gradients(chainer.FunctionNode):
    """x, gamma, gy -> the gradients of x, gamma and beta."""

    def __init__(self, forward):
        super().__init__()
        self.mean, self.inverse_std = forward.mean, forward.inverse_std

    def forward(self, inputs):
        x, gamma, gy = map(np.ascontiguousarray, inputs)
        n_numbers = x.size // x.shape[1]
        g_beta, products = (strips.sum(axis=0) for strips in _sums("sums", 2, x, gy))
        g_gamma = (products - self.mean * g_beta) * self.inverse_std
        # gx = gamma / std * (gy - mean(gy) - x_hat * mean(gy * x_hat)), as a * gy + b * x + c for each channel.
        a = gamma * self.inverse_std
        b = -a * self.inverse_std * g_gamma / n_numbers
        c = -a * g_beta / n_numbers - b * self.mean
        gx = np.empty_like(x)
        call_strips("normalise_gradient", len(x), *_sizes(x), gy, x, *_as_float32(a, b, c), gx)
        return gx, g_gamma.astype(gamma.dtype), g_beta.astype(gamma.dtype)

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError("batch normalisation on the CPU has no second derivative here; use Chainer's own")


def _statistics(x):
    """Mean and variance of each channel, float64; those of strips are combined as in Chan, Golub and LeVeque (1979)."""
    counts, means, squares = _sums("statistics", 3, x)
    count = counts.sum(axis=0)
    mean = (counts * means).sum(axis=0) / count
    squares = squares.sum(axis=0) + (counts * (means - mean) ** 2).sum(axis=0)
    return mean, squares / count


def _sums(name, n_sums, *batches):
    """What a kernel adds up in some float64 numbers for each channel, strip by strip."""
    sums = [(batches[0].shape[1], np.float64)] * n_sums
    return call_strips(name, len(batches[0]), *_sizes(batches[0]), *batches, sums=sums)


def _sizes(x):
    """Channels, and numbers in one of an image."""
    return x.shape[1], x.shape[2] * x.shape[3]


def _as_float32(*constants):
    return [values.astype(np.float32) for values in constants]

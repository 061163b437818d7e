"""Tiny networks and data that many tests share."""

import chainer.links as L
import numpy as np
from chainer import functions as F

from branchynet import FL, Branch, BranchyNet
from branchynet.confidence import MEASURES
from branchynet.datasets import Samples, Splits
from branchynet.functions import dropout
from branchynet.inference import record_exits
from branchynet.links import Convolution2D
from branchynet.machine.devices import to_host

SHAPE = (1, 6, 6)
N_CLASSES = 3


def tiny_list(weights=(1.0, 1.0, 0.3)):
    """A network list with two early exits."""
    return [
        Convolution2D(1, 2, 3, pad=1),
        FL(F.relu),
        Branch([L.Linear(72, N_CLASSES)], weight=weights[0]),
        Convolution2D(2, 3, 3),
        FL(F.relu),
        FL(dropout, 0.3),
        Branch([FL(F.relu), L.Linear(48, N_CLASSES)], weight=weights[1]),
        L.Linear(48, 8),
        FL(F.relu),
        Branch([L.Linear(8, N_CLASSES)], weight=weights[2]),
    ]


def tiny_net(seed=0, **kwargs):
    """A `BranchyNet` of `tiny_list` with the weights that the seed draws."""
    np.random.seed(seed)  # noqa: NPY002  (Chainer draws from the global generator)
    return BranchyNet(tiny_list(**kwargs))


def tiny_batch(n=7, seed=0):
    """x (n, 1, 6, 6) float32 and t (n,) int32."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *SHAPE)).astype(np.float32), rng.integers(0, N_CLASSES, n).astype(np.int32)


def tiny_logits(n=200, n_exits=3, seed=0):
    """logits (n_exits, n, N_CLASSES) float32 and labels (n,) int32; the later the exit, the more often it is right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_CLASSES, n).astype(np.int32)
    sizes = np.arange(1, n_exits + 1)[:, None, None]
    logits = rng.normal(size=(n_exits, n, N_CLASSES)) + 1.5 * sizes * np.eye(N_CLASSES)[labels]
    return logits.astype(np.float32), labels


def tiny_measure(name):
    """A registered measure, fitted quickly to `tiny_logits`, if it is one that is fitted."""
    settings = {
        "correctness-net": {"n_steps": 30, "batch_size": 32},
        "opengan": {"n_steps": 20, "n_hidden": 8, "batch_size": 16},
    }
    return MEASURES.get(name)(**settings.get(name, {})).fit(*tiny_logits())


def as_float(images):
    """uint8 -> float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def tiny_samples(n, seed=0):
    """n `Samples` in which the class shows in the brightness."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_CLASSES, n).astype(np.int32)
    images = rng.integers(0, 60, (n, *SHAPE)) + 90 * labels[:, None, None, None]
    return Samples(images.astype(np.uint8), labels)


def tiny_splits(n=50, n_validation=20, n_test=20):
    """`Splits` of `tiny_samples`."""
    samples = tiny_samples(n + n_validation)
    return Splits(samples[:n], samples[n:], tiny_samples(n_test, seed=1))


def between(values, share):
    """A threshold that lies between two of the values, so that no rounding decides."""
    values = np.sort(values)
    index = int(share * (len(values) - 1))
    return float((values[index] + values[index + 1]) / 2)


def mixed_thresholds(net, x):
    """Thresholds at which half of the samples x leave at each early exit."""
    records = record_exits(net, x, np.zeros(len(x), np.int32))
    return [between(scores, 0.5) for scores in records.scores[:-1]]


def assert_same_answers(ours, theirs):
    """Labels and exits equal, scores and logits to rounding."""
    np.testing.assert_array_equal(to_host(ours.labels), to_host(theirs.labels))
    np.testing.assert_array_equal(to_host(ours.exits), to_host(theirs.exits))
    np.testing.assert_allclose(to_host(ours.scores), to_host(theirs.scores), atol=1e-4)
    np.testing.assert_allclose(to_host(ours.logits), to_host(theirs.logits), atol=1e-4)

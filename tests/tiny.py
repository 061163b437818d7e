"""Tiny networks and data that many tests share."""

import chainer
import chainer.links as L
import numpy as np
from chainer import functions as F
from PIL import Image

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


def drawn_net(build, sample_shape, seed=0):
    """An initialised `BranchyNet` with the weights that the seed draws; build: () -> network list."""
    np.random.seed(seed)  # noqa: NPY002  (Chainer draws from the global generator)
    return BranchyNet(build(), sample_shape)


def tiny_net(seed=0, device="@numpy", **options):
    """An initialised `BranchyNet` of `tiny_list`, on a device."""
    return drawn_net(lambda: tiny_list(**options), SHAPE, seed).to_device(device)


def with_statistics(net, x):
    """The net, with statistics of batch normalisation that are not trivial."""
    with chainer.using_config("train", True), chainer.no_backprop_mode():
        net(x)
    return net


def state_of(link):
    """Parameters and running statistics, copied."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(link)
    return {name: np.array(value) for name, value in serializer.target.items()}


def moved(before, after):
    """The names of what differs between two states."""
    return {name for name, value in after.items() if (value != before[name]).any()}


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


def mixed_thresholds(net, x, measure="entropy"):
    """Thresholds at which about half of the samples x that reach an early exit leave there, far from any score."""
    thresholds, scores = [], record_exits(net, x, np.zeros(len(x), np.int32), measure=measure).scores
    while len(thresholds) < net.n_exits - 1:
        here = scores[len(thresholds)]
        values = np.unique(here)
        quarter = len(values) // 4
        index = quarter + int(np.diff(values)[quarter : -quarter or None].argmax())
        thresholds.append(float((values[index] + values[index + 1]) / 2))
        scores = scores[:, here >= thresholds[-1]]
    return thresholds


def assert_is_drawn(path):
    """A picture that is not blank, and large enough to be read."""
    with Image.open(path) as image:
        assert min(image.size) > 300 and np.asarray(image.convert("L")).std() > 5


def assert_same_answers(ours, theirs):
    """Labels and exits equal, scores and logits to rounding."""
    np.testing.assert_array_equal(to_host(ours.labels), to_host(theirs.labels))
    np.testing.assert_array_equal(to_host(ours.exits), to_host(theirs.exits))
    np.testing.assert_allclose(to_host(ours.scores), to_host(theirs.scores), atol=1e-4)
    np.testing.assert_allclose(to_host(ours.logits), to_host(theirs.logits), atol=1e-4)

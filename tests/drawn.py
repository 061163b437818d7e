"""Networks drawn at random by hypothesis: any layers of the zoo, in any order that fits, with exits anywhere."""

import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer.utils.conv import get_conv_outsize
from hypothesis import strategies as st
from tiny import drawn_net

from branchynet import FL, Branch
from branchynet.functions import dropout, local_response_normalization, max_pooling_2d
from branchynet.functions.windows import may_miss
from branchynet.links import BatchNormalization, Convolution2D, ResBlock

N_CLASSES = 4
_LARGEST = 3_000  # numbers of an image: a test is to be quick


@st.composite
def networks(draw):
    """(an initialised `BranchyNet` with weights and statistics that are not trivial, the shape of its samples)."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9)))
    layers, here = [], shape
    for _ in range(draw(st.integers(0, 5))):
        layer, here = draw(_layer(here))
        layers += layer
        if draw(st.integers(0, 3)) == 0:
            layers.append(draw(_branch(here)))
    layers.append(Branch([L.Linear(int(np.prod(here)), N_CLASSES)]))
    net = drawn_net(lambda: layers, shape, draw(st.integers(0, 1000)))
    _give_statistics(net, np.random.default_rng(0))
    return net, shape


@st.composite
def _branch(draw, shape):
    layers = []
    for _ in range(draw(st.integers(0, 2))):
        layer, shape = draw(_layer(shape))
        layers += layer
    return Branch([*layers, L.Linear(int(np.prod(shape)), N_CLASSES)])


@st.composite
def _layer(draw, shape):
    """(a list of one layer, or none, the shape behind it)."""
    if len(shape) == 1:
        kind = draw(st.sampled_from(["linear", "relu", "dropout"]))
    else:
        kinds = ["convolution", "max", "average", "normalise", "batch", "residual", "relu", "dropout", "linear"]
        kind = draw(st.sampled_from(kinds))
    if kind == "relu":
        return [FL(F.relu)], shape
    if kind == "dropout":
        return [FL(dropout, 0.5)], shape
    if kind == "linear":
        n = draw(st.integers(1, 40))
        return [L.Linear(int(np.prod(shape)), n)], (n,)
    if kind == "batch":
        return [BatchNormalization(shape[0])], shape
    if kind == "normalise":
        return [FL(local_response_normalization, n=draw(st.sampled_from([1, 3, 5])), alpha=0.01, beta=0.75)], shape
    if kind == "residual":
        added, stride = draw(st.integers(0, 3)), draw(st.integers(1, 2))
        sizes = (-(-size // stride) for size in shape[1:])
        return [ResBlock(shape[0], shape[0] + added, stride)], (shape[0] + added, *sizes)
    return draw(_window(kind, shape))


@st.composite
def _window(draw, kind, shape):
    """A convolution or a pooling, if there is one that fits."""
    if draw(st.booleans()):  # as most networks have it
        ksize, stride = (draw(st.integers(1, 5)),) * 2, (1, 1)
    else:
        ksize, stride = (draw(st.tuples(*[st.integers(1, most)] * 2)) for most in (4, 3))
    # A window of nothing but padding has no maximum.
    pad = tuple(draw(st.integers(0, k if kind == "convolution" else k - 1)) for k in ksize)
    cover_all = kind == "max" and draw(st.booleans())
    sizes = [get_conv_outsize(shape[1 + i], ksize[i], stride[i], pad[i], cover_all) for i in (0, 1)]
    n_outputs = draw(st.integers(1, 40)) if kind == "convolution" else shape[0]
    if min(sizes) < 1 or n_outputs * sizes[0] * sizes[1] > _LARGEST:
        return [], shape
    if kind == "convolution":
        return [Convolution2D(shape[0], n_outputs, ksize, stride, pad)], (n_outputs, *sizes)
    if kind == "max":
        # With cover_all, Chainer has windows that lie outside the image, whose maximum is -inf.
        relu = [FL(F.relu)] if may_miss(ksize, stride, pad, cover_all) else []
        return [FL(max_pooling_2d, ksize, stride, pad, cover_all), *relu], (shape[0], *sizes)
    return [FL(F.average_pooling_2d, ksize, stride, pad)], (shape[0], *sizes)


def _give_statistics(net, rng):
    for link in net.links():
        if isinstance(link, L.BatchNormalization):
            link.avg_mean[...] = rng.normal(0, 0.3, link.avg_mean.shape)
            link.avg_var[...] = rng.uniform(0.5, 2, link.avg_var.shape)
            link.gamma.array[...] = rng.uniform(0.5, 1.5, link.gamma.shape)
            link.beta.array[...] = rng.normal(0, 0.3, link.beta.shape)

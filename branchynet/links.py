"""What a network list is written with: `FL`, `Branch`, and links with parameters.

The list is the authors' best idea (kunglab/branchynet): the whole architecture, exit points included, at one glance.
The links are Chainer's own, with the fast CPU path of `branchynet.functions`.
"""

import itertools
import math
import re

import chainer
import chainer.functions as F
import chainer.links as L

from branchynet import functions
from branchynet.errors import NetworkError
from branchynet.functions.windows import may_miss
from branchynet.gate import is_real, shown

# Functions of their input and settings alone: with the same of both, one result serves two. Dropout is none of them.
_PURE = (
    F.relu,
    F.leaky_relu,
    F.sigmoid,
    F.tanh,
    F.max_pooling_2d,
    F.average_pooling_2d,
    functions.average_pooling_2d,
    F.local_response_normalization,
    functions.max_pooling_2d,
    functions.local_response_normalization,
)
_MAX_POOLING = (F.max_pooling_2d, functions.max_pooling_2d)


class FL:
    """A function layer: a function without parameters, with its settings, as an item of a network list.

    Args:
        function: takes a batch (N, ...) and the settings, returns a batch; any Chainer function does.
        *args, **kwargs: the settings, passed on at every call.

    Example: ``FL(F.max_pooling_2d, 3, stride=2)``
    """

    def __init__(self, function, *args, **kwargs):
        if not callable(function):
            raise NetworkError(f"FL: expected a function, got {shown(function)}")
        if isinstance(function, chainer.Link):
            raise NetworkError(f"FL: expected a function, got a link, {type(function).__name__}: put it into the list")
        self.function = function
        self.args = args
        self.kwargs = kwargs

    def __call__(self, x, **settings):
        return self.function(x, *self.args, **self.kwargs, **settings)

    def computes_as(self, other) -> bool:
        """Whether another layer gives the same result for the same input, every time."""
        if not _is_function(self, _PURE) or not _is_function(other, (self.function,)):
            return False
        return (self.args, self.kwargs) == (other.args, other.kwargs)

    def __repr__(self):
        settings = [repr(arg) for arg in self.args] + [f"{key}={value!r}" for key, value in self.kwargs.items()]
        text = ", ".join([f"FL({getattr(self.function, '__name__', self.function)}", *settings]) + ")"
        # A partial or an object has its address in its text, another one in the process that loads the weights.
        return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


class Layers(chainer.ChainList):
    """Layers applied one after another: links with parameters and function layers.

    Args:
        layers: a flat sequence of links, `FL` items, or bare functions (wrapped in `FL`).
        where: how error messages name this sequence.

    Raises:
        NetworkError: an item is a nested list, a class instead of an instance, or no layer at all.
    """

    def __init__(self, layers, where="layers"):
        # A tuple: a layer that is put into it would not be among the links that are trained and saved.
        self.layers = tuple(_as_layer(layer, f"{where}[{index}]") for index, layer in enumerate(layers))
        super().__init__(*[layer for layer in self.layers if isinstance(layer, chainer.Link)])
        self._is_whole = True

    def forward(self, x):
        """Applies the layers in order to a batch (N, ...)."""
        return apply_layers(self.layers, x)

    def copy(self, mode="share"):
        """As Chainer's; the copy computes with its own copies of the links."""
        copied = super().copy(mode)
        links = iter(copied)
        copied.layers = tuple(next(links) if isinstance(layer, chainer.Link) else layer for layer in self.layers)
        return copied

    def insert(self, index, link):
        """Called by Chainer while the layers are put together; later it is refused, as assignment and `del` are."""
        if getattr(self, "_is_whole", False):
            self._refuse()
        super().insert(index, link)

    def _refuse(self, *arguments):
        raise NetworkError("layers: expected a new network list, got a change of one that is built: build a net anew")

    __setitem__ = __delitem__ = _refuse

    def describe(self) -> list:
        """One line of text per layer, the same for two sequences of the same architecture."""
        return [describe_layer(layer) for layer in self.layers]


class Branch(Layers):
    """An exit of the network: the layers from an exit point to this exit's logits, and the weight of its loss.

    Every early exit and the last one is a Branch (paper, section III: the loss of exit n is weighted by w_n).

    Args:
        layers: a flat sequence of layers ending in logits (N, n_classes).
        weight: w_n >= 0, the weight of this exit's loss in joint training.
    """

    def __init__(self, layers, weight=1.0):
        if not isinstance(layers, (list, tuple)):
            raise NetworkError(f"Branch: expected a list of layers, got {shown(layers)}; write Branch([...])")
        if not is_real(weight) or not math.isfinite(weight) or weight < 0:
            raise NetworkError(f"Branch: expected a finite loss weight >= 0, got {shown(weight)}")
        super().__init__(layers, where="Branch")
        if not self.layers:
            raise NetworkError("Branch: expected at least one layer, got an empty list")
        self.weight = float(weight)


def apply_layers(layers, x):
    """Applies a sequence of layers, in order, to a batch (N, ...).

    Unless plain Chainer is asked for, a layer that can do so computes the ReLU behind it. Where ReLU is followed by max
    pooling, pooling comes first: ReLU keeps the order of its inputs and gives no gradient to the zeros it makes, so
    values and gradients are the same, bit for bit, and there are fewer numbers left for it. A pooling whose windows may
    hold nothing but padding stays where it is.
    """
    if not functions.computes_here(x):
        for layer in layers:
            x = layer(x)
        return x
    layers = _pooling_first(layers)
    while layers:
        layer, *layers = layers
        if layers and _is_function(layers[0], (F.relu,)) and _takes_relu(layer):
            x, layers = layer(x, relu=True), layers[1:]
        else:
            x = layer(x)
    return x


def _pooling_first(layers):
    layers = list(layers)
    for i in range(len(layers) - 1):
        relu, pooling = layers[i : i + 2]
        is_pair = _is_function(relu, (F.relu,)) and _is_function(pooling, _MAX_POOLING)
        if is_pair and not may_miss(*pooling.args, **pooling.kwargs):
            layers[i : i + 2] = pooling, relu
    return layers


def _takes_relu(layer):
    if isinstance(layer, FL):
        return layer.function is functions.max_pooling_2d and "relu" not in layer.kwargs
    # A derived link with methods of its own need not know of it.
    kinds = [kind for kind in (Convolution2D, BatchNormalization) if isinstance(layer, kind)]
    return any((type(layer).forward, type(layer).__call__) == (kind.forward, kind.__call__) for kind in kinds)


def _is_function(layer, functions_of_the_kind):
    # One of these very ones: an object with a call need not be hashable, and may be equal to anything.
    return isinstance(layer, FL) and any(layer.function is function for function in functions_of_the_kind)


def count_common(layers, others) -> int:
    """How many layers two sequences both begin with, of those for which one result serves both."""
    pairs = zip(layers, others)
    same = (isinstance(layer, FL) and layer.computes_as(other) for layer, other in pairs)
    return sum(itertools.takewhile(bool, same))


def describe_layer(layer) -> str:
    """A layer's kind and the shapes of its own parameters, as text: what tells two architectures apart."""
    if not isinstance(layer, chainer.Link):
        return repr(layer)
    settings = [f"{name}={getattr(layer, name)}" for name in ("stride", "pad", "ksize", "eps") if hasattr(layer, name)]
    # Where they are the usual ones they stand in no description.
    usual = {"dilate": (1, 1), "axis": None}
    settings += [f"{name}={found}" for name, value in usual.items() if (found := getattr(layer, name, value)) != value]
    shapes = [f"{name.strip('/')}{param.shape}" for name, param in sorted(layer.namedparams())]
    return f"{type(layer).__name__}({', '.join(shapes + settings)})"


def _as_layer(layer, where):
    if isinstance(layer, (list, tuple)):
        raise NetworkError(
            f"{where}: expected a link, FL or Branch, got a nested {type(layer).__name__}; write one flat list"
        )
    if isinstance(layer, Branch):
        raise NetworkError(f"{where}: expected a link or FL, got a Branch inside a Branch; an exit has no exits")
    if isinstance(layer, type):
        raise NetworkError(f"{where}: expected a layer, got the class {layer.__name__}; write {layer.__name__}(...)")
    if isinstance(layer, (chainer.Link, FL)):
        return layer
    if callable(layer):
        return FL(layer)
    raise NetworkError(f"{where}: expected a link, FL or Branch, got {shown(layer)}")


class Convolution2D(L.Convolution2D):
    """`chainer.links.Convolution2D` through `branchynet.functions.convolution_2d`.

    Arguments, parameters (W, b) and their initial values are Chainer's; dilated and grouped convolutions compute in
    Chainer's own way.
    """

    def forward(self, x, relu=False):
        """(N, in_channels, H, W) -> (N, out_channels, out_h, out_w), with ReLU behind it if asked for."""
        if self.groups != 1 or self.dilate != (1, 1):
            return F.relu(super().forward(x)) if relu else super().forward(x)
        if self.W.array is None:
            self._initialize_params(x.shape[1])
        return functions.convolution_2d(x, self.W, self.b, self.stride, self.pad, relu=relu)


class BatchNormalization(L.BatchNormalization):
    """Chainer's link, with its arguments, for images (N, C, H, W); only training on the CPU is computed otherwise."""

    def forward(self, x, shortcut=None, relu=False, finetune=False):
        """(N, C, H, W) -> the same shape, each channel normalised; plus the shortcut, and ReLU behind, if asked for."""
        of_channels = x.ndim == 4 and self.axis in (None, (0, 2, 3)) and getattr(self.avg_mean, "ndim", 0) == 1
        is_plain = self.gamma is None or self.beta is None or finetune or chainer.config.in_recomputing
        if is_plain or not of_channels or not chainer.config.train or not functions.computes_here(x):
            return functions.add_and_relu(super().forward(x, finetune=finetune), shortcut, relu)
        statistics = self.avg_mean, self.avg_var, self.decay
        return functions.batch_normalization(x, self.gamma, self.beta, self.eps, *statistics, shortcut, relu)


class ResBlock(chainer.Chain):
    """Two 3x3 convolutions with batch normalisation around an identity shortcut.

    Where the block halves the image or adds channels, the shortcut is subsampled and padded with zero channels: it
    has no parameters, as in the authors' code.

    Args:
        in_channels, out_channels: channels of the input and of the output, in <= out.
        stride: of the first convolution.
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.stride = stride
        self.added_channels = out_channels - in_channels
        initialW = chainer.initializers.HeNormal()
        with self.init_scope():
            self.conv1 = Convolution2D(
                in_channels, out_channels, 3, stride=stride, pad=1, nobias=True, initialW=initialW
            )
            self.bn1 = BatchNormalization(out_channels)
            self.conv2 = Convolution2D(out_channels, out_channels, 3, pad=1, nobias=True, initialW=initialW)
            self.bn2 = BatchNormalization(out_channels)

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        x, around = functions.fan_out(x)
        h = self.bn1(self.conv1(x), relu=True)
        return self.bn2(self.conv2(h), shortcut=self._shortcut(around), relu=True)

    def _shortcut(self, x):
        if self.stride == 1 and not self.added_channels:
            return x
        return functions.thinned(x, self.stride, self.added_channels)

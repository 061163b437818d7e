"""From the layers of a network list to operations: a small registry that can be added to.

@register_lowering(MyLink)
def lower_my_link(link):
    return [Linear(link.W.array, link.b.array), Relu()]
"""

import inspect

import chainer.functions as F
import chainer.links as L
import numpy as np

from branchynet import functions
from branchynet.errors import CompileError
from branchynet.functions.windows import pair
from branchynet.inference import operations as ops
from branchynet.links import FL, BatchNormalization, Convolution2D, Layers, ResBlock
from branchynet.machine.devices import to_host
from branchynet.registry import Registry

LOWERINGS = Registry("lowering", CompileError)


def register_lowering(kind, replace=False):
    """A decorator that registers how a kind of layer becomes operations.

    Args:
        kind: a link class, which those that are derived from it with the same `forward` and `__call__` go by, too; the
            decorated function takes the link. Or a function, as it stands in an `FL`; the decorated function takes the
            settings of its call, a dictionary by name, with their defaults.
        replace: this lowering takes the place of one for the same kind.

    Raises:
        CompileError: there is one for that kind already.

    The decorated function returns a list of operations (`branchynet.inference.operations`), with arrays of float32 on
    the host.
    """

    def register(lower):
        LOWERINGS.add(kind, lower, replace)
        return lower

    return register


def lower(layers, where) -> list:
    """The operations of a sequence of layers.

    Args:
        layers: links and `FL` items.
        where: how an error names the sequence.

    Raises:
        CompileError: a layer that cannot be compiled, named by its place.
    """
    operations = []
    for index, layer in enumerate(layers):
        try:
            operations += _lower_layer(layer)
        except CompileError as error:
            raise CompileError(f"{where}, layer {index + 1}: {error}") from error
    return operations


def _lower_layer(layer):
    if isinstance(layer, FL):
        if layer.function in LOWERINGS:
            bound = inspect.signature(layer.function).bind(None, *layer.args, **layer.kwargs)
            bound.apply_defaults()
            settings = dict(list(bound.arguments.items())[1:])
            return LOWERINGS.get(layer.function)(settings)
    else:
        if layer.local_link_hooks:
            hooks = ", ".join(layer.local_link_hooks)
            raise CompileError(f"cannot compile a link with hooks, got {hooks}: what they compute is not known")
        for kind in type(layer).__mro__:
            if kind in LOWERINGS and _calls_as(type(layer), kind):
                return LOWERINGS.get(kind)(layer)
    raise CompileError(f"cannot compile {layer!r}; register a lowering for it (branchynet.inference.register_lowering)")


def _calls_as(derived, kind):
    """Whether a link computes as the kind that it is derived from: it has none of the two methods of its own."""
    return all(getattr(derived, name, None) is getattr(kind, name, None) for name in ("forward", "__call__"))


def _host_copy(array):
    """Of its own, so that later training does not reach a compiled net."""
    return np.array(to_host(array))


def _bias(link, n_out):
    return np.zeros(n_out, np.float32) if link.b is None else _host_copy(link.b.array)


@register_lowering(L.Convolution2D)
@register_lowering(Convolution2D)
def _convolution(link):
    if link.groups != 1 or pair(link.dilate) != (1, 1):
        raise CompileError("cannot compile a grouped or dilated convolution")
    W = _host_copy(link.W.array)
    return [ops.Convolution(W, _bias(link, len(W)), pair(link.stride), pair(link.pad))]


@register_lowering(L.Linear)
def _linear(link):
    W = _host_copy(link.W.array)
    return [ops.Linear(W, _bias(link, len(W)))]


@register_lowering(L.BatchNormalization)
@register_lowering(BatchNormalization)
def _batch_normalization(link):
    mean, variance = _host_copy(link.avg_mean), _host_copy(link.avg_var)
    # Of other axes, the one that is left over is not that of the channels.
    if mean.ndim != 1 or link.axis not in (None, (0,), (0, 2, 3)):
        raise CompileError(
            "cannot compile a batch normalisation of other statistics than one mean for each channel, got axis "
            f"{link.axis}, means of shape {mean.shape}"
        )
    gamma = np.ones_like(mean) if link.gamma is None else _host_copy(link.gamma.array)
    beta = np.zeros_like(mean) if link.beta is None else _host_copy(link.beta.array)
    scale = (gamma / np.sqrt(variance + link.eps)).astype(np.float32)
    return [ops.Scale(scale, (beta - mean * scale).astype(np.float32))]


@register_lowering(ResBlock)
def _res_block(link):
    body = lower([link.conv1, link.bn1, FL(F.relu), link.conv2, link.bn2], "residual block")
    return [ops.Residual(tuple(fold_scales(body)), link.stride, link.added_channels), ops.Relu()]


@register_lowering(Layers)
def _layers(link):
    return lower(link.layers, type(link).__name__)


@register_lowering(F.relu)
def _relu(settings):
    return [ops.Relu()]


@register_lowering(F.dropout)
@register_lowering(functions.dropout)
def _dropout(settings):
    return []  # nothing is dropped at inference


@register_lowering(F.max_pooling_2d)
@register_lowering(functions.max_pooling_2d)
def _max_pooling(settings):
    relu = [ops.Relu()] if settings.get("relu") else []  # Chainer's own has none
    return [ops.MaxPooling(*_window(settings), bool(settings["cover_all"])), *relu]


@register_lowering(functions.average_pooling_2d)
@register_lowering(F.average_pooling_2d)
def _average_pooling(settings):
    return [ops.AveragePooling(*_window(settings), False)]


@register_lowering(F.local_response_normalization)
@register_lowering(functions.local_response_normalization)
def _local_response_normalization(settings):
    return [ops.LocalResponseNormalization(*(settings[name] for name in ("n", "k", "alpha", "beta")))]


def _window(settings):
    stride = settings["ksize"] if settings["stride"] is None else settings["stride"]
    return pair(settings["ksize"]), pair(stride), pair(settings["pad"])


def fold_scales(operations) -> list:
    """Takes each per-channel scale that follows a convolution or a fully connected layer into its weights."""
    folded = []
    for operation in operations:
        if isinstance(operation, ops.Scale) and folded and hasattr(folded[-1], "scaled"):
            folded[-1] = folded[-1].scaled(operation.scale, operation.shift)
        else:
            folded.append(operation)
    return folded

"""The same networks in PyTorch, made from the same network lists."""

import branchynet  # noqa: F401  (first: it makes Chainer importable)

# isort: split
import chainer.functions as F
import chainer.links as L

from branchynet import functions
from branchynet.links import Convolution2D


def torch_layers(layers):
    """The same layers and weights in PyTorch; a fully connected layer flattens its input."""
    import torch
    from torch import nn

    def copy_weights(link, module):
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(link.W.array))
            module.bias.copy_(torch.from_numpy(link.b.array))

    made = []
    for layer in layers:
        if isinstance(layer, Convolution2D):
            n_out, n_in, *ksize = layer.W.shape
            made.append(nn.Conv2d(n_in, n_out, tuple(ksize), layer.stride, layer.pad))
            copy_weights(layer, made[-1])
        elif isinstance(layer, L.Linear):
            made += [nn.Flatten(), nn.Linear(layer.W.shape[1], len(layer.W))]
            copy_weights(layer, made[-1])
        elif layer.function is F.relu:
            made.append(nn.ReLU())
        elif layer.function in (F.dropout, functions.dropout):
            made.append(nn.Dropout(*layer.args))
        elif layer.function is functions.max_pooling_2d:
            made.append(nn.MaxPool2d(*layer.args, ceil_mode=True))
        elif layer.function is functions.local_response_normalization:
            n = layer.kwargs["n"]
            made.append(nn.LocalResponseNorm(n, layer.kwargs["alpha"] * n, layer.kwargs["beta"], k=2))
        else:
            raise ValueError(f"no PyTorch twin is known for {layer!r}")
    return nn.Sequential(*made)

"""What speed is compared with: the same networks in PyTorch and ONNX Runtime, made from the same network lists.

Neither is needed, and each is imported where it is used.
"""

import importlib.metadata
import importlib.util

import branchynet  # noqa: F401  (first: it makes Chainer importable)

# isort: split
import chainer.functions as F
import chainer.links as L

from branchynet import functions
from branchynet.inference.plan import make_plain_plan
from branchynet.links import Convolution2D, ResBlock


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def versions() -> dict:
    """{"torch": its version}; empty where it is not installed."""
    return {"torch": importlib.metadata.version("torch")} if has_torch() else {}


def plain_torch(net):
    """The plain network in PyTorch eager on one thread, as a function of x (N, C, H, W) float32 -> labels (N,)."""
    import torch

    torch.set_num_threads(1)
    plain = [layer for part in (*net.trunk, net.exits[-1]) for layer in part.layers]
    model = torch_layers(plain).eval()

    def answer(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x)).argmax(dim=1).numpy()

    return answer


def plain_onnxruntime(net):
    """The plain network in one session of ONNX Runtime on one thread, with nothing of this library around it."""
    from branchynet.inference.engines.onnxruntime import make_session
    from branchynet.inference.onnx_graph import segment_model

    session = make_session(segment_model(make_plain_plan(net), 0), 1)
    return lambda x: session.run(["logits"], {"x": x})[0].argmax(axis=1)


def torch_layers(layers):
    """The same layers and weights in PyTorch, as a `torch.nn.Sequential`; a fully connected layer flattens its input.

    Raises:
        ValueError: a layer of a kind whose twin is not known.
    """
    from torch import nn

    return nn.Sequential(*[module for layer in layers for module in _twins(layer)])


def torch_joint_loss(net):
    """A module (x, t) -> the loss of joint training, with the layers, weights and loss weights of a net."""
    import torch

    class JointLoss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            # Like ours, it does once what a branch and the trunk behind it both begin with.
            self.stages, self.exits = (torch.nn.ModuleList(map(torch_layers, parts)) for parts in zip(*net.segments()))

        def forward(self, h, t):
            loss = 0
            for stage, branch, weight in zip(self.stages, self.exits, net.loss_weights):
                h = stage(h)
                loss = loss + weight * torch.nn.functional.cross_entropy(branch(h), t)
            return loss

    return JointLoss()


def _twins(layer):
    """The PyTorch modules that compute what one layer does."""
    from torch import nn

    if isinstance(layer, Convolution2D):
        n_out, n_in, *ksize = layer.W.shape
        module = nn.Conv2d(n_in, n_out, tuple(ksize), layer.stride, layer.pad, bias=layer.b is not None)
        return [_with_arrays(module, weight=layer.W.array, bias=None if layer.b is None else layer.b.array)]
    if isinstance(layer, L.Linear):
        module = nn.Linear(layer.W.shape[1], len(layer.W))
        return [nn.Flatten(), _with_arrays(module, weight=layer.W.array, bias=layer.b.array)]
    if isinstance(layer, L.BatchNormalization):
        module = nn.BatchNorm2d(len(layer.avg_mean), layer.eps, momentum=1 - layer.decay)
        arrays = {"weight": layer.gamma.array, "bias": layer.beta.array}
        return [_with_arrays(module, **arrays, running_mean=layer.avg_mean, running_var=layer.avg_var)]
    if isinstance(layer, ResBlock):
        return [_residual_block(layer)]
    return [_function_twin(layer)]


def _function_twin(layer):
    from torch import nn

    if layer.function is F.relu:
        return nn.ReLU()
    if layer.function in (F.dropout, functions.dropout):
        return nn.Dropout(*layer.args)
    if layer.function is functions.max_pooling_2d:
        return nn.MaxPool2d(*layer.args, ceil_mode=True)
    if layer.function in (F.average_pooling_2d, functions.average_pooling_2d):
        return nn.AvgPool2d(*layer.args)
    if layer.function is functions.local_response_normalization:
        n = layer.kwargs["n"]
        return nn.LocalResponseNorm(n, layer.kwargs["alpha"] * n, layer.kwargs["beta"], k=2)
    raise ValueError(f"no PyTorch twin is known for {layer!r}")


def _with_arrays(module, **arrays):
    """The module, with these arrays as its parameters and running statistics."""
    import torch

    with torch.no_grad():
        for name, array in arrays.items():
            if array is not None:
                getattr(module, name).copy_(torch.from_numpy(array))
    return module


def _residual_block(block):
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch_layers([block.conv1, block.bn1]).append(nn.ReLU())
            self.body.extend(torch_layers([block.conv2, block.bn2]))

        def forward(self, x):
            shortcut = x[:, :, :: block.stride, :: block.stride]
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, 0, block.added_channels))
            return torch.relu(self.body(x) + shortcut)

    return Residual()

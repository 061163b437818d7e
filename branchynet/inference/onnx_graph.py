"""A plan's operations as an ONNX graph: one node or a few for each operation.

Only this module and `onnx_export` speak of the `onnx` package; both need the extra `onnx`.
"""

import itertools

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from branchynet.datasets.transforms import SMALLEST_STD, Normalise, Scale, Whiten
from branchynet.errors import CompileError
from branchynet.gate import shown
from branchynet.inference import operations as ops

# Old enough for every ONNX Runtime of the last years; it has all that the networks need.
OPSET = 13
IR_VERSION = 7


class Graph:
    """Nodes and weights of one ONNX graph, under construction.

    Args:
        prefix: in front of all names, so that graphs within graphs never share one.
    """

    def __init__(self, prefix=""):
        self.prefix = prefix
        self.nodes = []
        self.initializers = []
        self._numbers = itertools.count()

    def constant(self, array, name="constant") -> str:
        """Adds an array; returns its name."""
        name = self._name(name)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind, *inputs, output=None, **attributes) -> str:
        """Adds a node with one output; returns the output's name."""
        output = output or self._name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def operations(self, operations, x, shape) -> str:
        """Adds a sequence of operations.

        Args:
            operations: of `branchynet.inference.operations`.
            x: name of what they start from.
            shape: of one sample of x.

        Returns:
            the name of the result.
        """
        # ONNX Runtime computes a ReLU right behind a convolution in passing.
        for operation in ops.exchange(operations, ops.MaxPooling, ops.Relu):
            if type(operation) not in _BUILDERS:
                raise CompileError(f"no ONNX node is known for {type(operation).__name__}")
            x = _BUILDERS[type(operation)](self, operation, x, shape)
            shape = operation.out_shape(shape)
        return x

    def transformed(self, x, transform, shape) -> str:
        """Adds what prepares uint8 pixels; returns the name of the float32 result, x itself without a transform.

        Args:
            x: name of the pixels (N, C, H, W).
            transform: of `branchynet.datasets.transforms`, or None.
            shape: (C, H, W).

        Raises:
            CompileError: a transform of another kind.
        """
        if transform is None:
            return x
        if type(transform) not in _TRANSFORMS:
            raise CompileError(f"export: expected a transform that ONNX nodes are known for, got {shown(transform)}")
        levels = self.node("Cast", x, to=TensorProto.FLOAT)
        scaled = self.node("Div", levels, self.constant(np.float32(255), "levels"))
        return _TRANSFORMS[type(transform)](self, transform, scaled, shape)

    def name_output(self, value, output) -> None:
        """Makes a value an output of the graph; a value that is computed here just gets the name, and is not copied."""
        if not any(value in node.output for node in self.nodes):
            self.node("Identity", value, output=output)
            return
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [output if name == value else name for name in names]

    def entropy(self, logits) -> str:
        """Adds the entropy of the softmax output: (N, n_classes) -> (N,), nats."""
        shifted = self.node("Sub", logits, self.node("ReduceMax", logits, axes=[1], keepdims=1))
        exponentials = self.node("Exp", shifted)
        axes = self.constant(np.array([1], np.int64), "axes")
        total = self.node("ReduceSum", exponentials, axes, keepdims=0)
        weighted = self.node("ReduceSum", self.node("Mul", exponentials, shifted), axes, keepdims=0)
        return self.node("Sub", self.node("Log", total), self.node("Div", weighted, total))

    def build(self, name, inputs, outputs) -> onnx.GraphProto:
        """The finished graph.

        Args:
            inputs, outputs: lists of value infos, as of `tensor`.
        """
        return helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)

    def _name(self, word):
        return f"{self.prefix}{word}_{next(self._numbers)}"


def tensor(name, shape, kind=TensorProto.FLOAT):
    """The description of an input or output; a text in `shape` names a size that is open."""
    return helper.make_tensor_value_info(name, kind, shape)


def make_model(graph) -> onnx.ModelProto:
    """A checked model of a finished graph."""
    model = helper.make_model(
        graph, producer_name="branchynet", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def samples(n, shape, transform=None):
    """The description of the input `x`, n samples: uint8 pixels for a transform, else float32."""
    return tensor("x", [n, *shape], TensorProto.FLOAT if transform is None else TensorProto.UINT8)


def segment_model(plan, index, transform=None, with_answer=False) -> onnx.ModelProto:
    """One segment as a model of its own, for any number of samples: x -> logits, features (the next segment's x).

    Args:
        plan: `branchynet.inference.plan.Plan`.
        index: of the segment, 0 for the first; the last one gives no features.
        transform: of `branchynet.datasets.transforms`, to make it take uint8 pixels; None leaves it outside.
        with_answer: label and entropy, too, in front of the logits.
    """
    segment, graph = plan.segments[index], Graph()
    x = graph.transformed("x", transform, segment.in_shape)
    features = graph.operations(segment.trunk, x, segment.in_shape)
    logits = graph.operations(segment.head, features, segment.out_shape)
    if features == logits:  # the head is empty, and one value cannot have the names of two outputs
        features = graph.node("Identity", features)
    outputs = [tensor("logits", ["n", plan.n_classes])]
    if with_answer:
        graph.node("ArgMax", logits, output="label", axis=1, keepdims=0)
        graph.name_output(graph.entropy(logits), "entropy")
        outputs = [tensor("label", ["n"], TensorProto.INT64), tensor("entropy", ["n"]), *outputs]
    graph.name_output(logits, "logits")
    if index < plan.n_exits - 1:
        graph.name_output(features, "features")
        outputs.append(tensor("features", ["n", *segment.out_shape]))
    return make_model(graph.build(f"segment{index + 1}", [samples("n", segment.in_shape, transform)], outputs))


def _convolution(graph, operation, x, shape):
    (ph, pw), kernel = operation.pad, list(operation.W.shape[2:])
    weights, bias = graph.constant(operation.W, "W"), graph.constant(operation.b, "b")
    strides = list(operation.stride)
    return graph.node("Conv", x, weights, bias, kernel_shape=kernel, strides=strides, pads=[ph, pw, ph, pw])


def _linear(graph, operation, x, shape):
    if len(shape) > 1:
        x = graph.node("Flatten", x, axis=1)
    return graph.node("Gemm", x, graph.constant(operation.W, "W"), graph.constant(operation.b, "b"), transB=1)


def _relu(graph, operation, x, shape):
    return graph.node("Relu", x)


def _scale(graph, operation, x, shape):
    per_channel = (-1, *[1] * (len(shape) - 1))
    x = graph.node("Mul", x, graph.constant(operation.scale.reshape(per_channel), "scale"))
    return graph.node("Add", x, graph.constant(operation.shift.reshape(per_channel), "shift"))


def _max_pooling(graph, operation, x, shape):
    x, settings = _windows(graph, operation, x, shape, -np.inf)
    return graph.node("MaxPool", x, **settings)


def _average_pooling(graph, operation, x, shape):
    x, settings = _windows(graph, operation, x, shape, 0.0)
    return graph.node("AveragePool", x, count_include_pad=1, **settings)


def _windows(graph, operation, x, shape, value):
    """What a pooling looks at, and the settings of its windows. Windows beyond the border (cover_all) are padding at
    the end, of just the size that they need; where it is as wide as a window, ONNX Runtime wants a node for it, which
    fills in `value`."""
    _, *out_sizes = operation.out_shape(shape)
    ends = [
        max((out_sizes[i] - 1) * operation.stride[i] + operation.ksize[i] - shape[1 + i] - operation.pad[i], 0)
        for i in (0, 1)
    ]
    settings = {"kernel_shape": list(operation.ksize), "strides": list(operation.stride)}
    pads = [*operation.pad, *ends]
    if all(pad < size for pad, size in zip(pads, [*operation.ksize, *operation.ksize])):
        return x, {**settings, "pads": pads}
    widths = graph.constant(np.array([0, 0, *operation.pad, 0, 0, *ends], np.int64), "pads")
    return graph.node("Pad", x, widths, graph.constant(np.float32(value), "beside")), settings


def _local_response_normalization(graph, operation, x, shape):
    """The sum over neighbouring channels is a 1x1 convolution with a band of ones: far faster than the LRN node, which
    knows no even n."""
    band = ops.neighbour_band(shape[0], operation.n, operation.alpha)[:, :, None, None]
    bias = graph.constant(np.full(shape[0], operation.k, np.float32), "k")
    base = graph.node("Conv", graph.node("Mul", x, x), graph.constant(band, "band"), bias, kernel_shape=[1, 1])
    if operation.beta != 0.75:
        return graph.node("Div", x, graph.node("Pow", base, graph.constant(np.float32(operation.beta), "beta")))
    root = graph.node("Sqrt", base)
    return graph.node("Div", x, graph.node("Mul", root, graph.node("Sqrt", root)))


def _residual(graph, operation, x, shape):
    y = graph.operations(operation.body, x, shape)
    if operation.stride > 1:
        starts, ends = np.array([0, 0], np.int64), np.array(shape[1:], np.int64)
        axes, steps = np.array([2, 3], np.int64), np.array([operation.stride] * 2, np.int64)
        x = graph.node("Slice", x, *(graph.constant(array, "slice") for array in (starts, ends, axes, steps)))
    if operation.added_channels:
        pads = np.array([0, 0, 0, 0, 0, operation.added_channels, 0, 0], np.int64)
        x = graph.node("Pad", x, graph.constant(pads, "pads"))
    return graph.node("Add", y, x)


def _normalise(graph, transform, x, shape):
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (transform.mean, transform.std))
    return graph.node("Div", graph.node("Sub", x, graph.constant(mean, "mean")), graph.constant(std, "std"))


def _whiten(graph, transform, x, shape):
    rows = graph.node("Flatten", x, axis=1)
    centred = graph.node("Sub", rows, graph.node("ReduceMean", rows, axes=[1], keepdims=1))
    variance = graph.node("ReduceMean", graph.node("Mul", centred, centred), axes=[1], keepdims=1)
    std = graph.node("Max", graph.node("Sqrt", variance), graph.constant(np.float32(SMALLEST_STD), "smallest"))
    own = graph.node("Sub", graph.node("Div", centred, std), graph.constant(transform.mean, "mean"))
    whitened = graph.node("MatMul", own, graph.constant(transform.matrix, "matrix"))
    return graph.node("Reshape", whitened, graph.constant(np.array([-1, *shape], np.int64), "shape"))


_TRANSFORMS = {Scale: lambda graph, transform, x, shape: x, Normalise: _normalise, Whiten: _whiten}

_BUILDERS = {
    ops.Convolution: _convolution,
    ops.Linear: _linear,
    ops.Relu: _relu,
    ops.Scale: _scale,
    ops.MaxPooling: _max_pooling,
    ops.AveragePooling: _average_pooling,
    ops.LocalResponseNormalization: _local_response_normalization,
    ops.Residual: _residual,
}

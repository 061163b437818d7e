"""Export to ONNX: the whole early-exit network in one portable file, and its segments one by one.

The one file is for one sample at a time: an `If` stands at every exit, so that nothing above an exit is computed for
a sample that leaves there. The segments are for batches: the caller runs a segment, keeps the samples whose entropy is
not below the threshold, and hands their features to the next one. Both need nothing but ONNX Runtime.
"""

import glob
import re

import numpy as np

try:
    import onnx
    from onnx import TensorProto
except ImportError as error:
    raise ImportError(
        "the export to ONNX needs the package onnx; in the project's folder: pip install -e '.[onnx]', or "
        f"uv sync --extra onnx ({error})"
    ) from error

from branchynet.errors import OutputError, ThresholdError
from branchynet.gate import path as as_path
from branchynet.gate import shown
from branchynet.inference.compiled import with_transform
from branchynet.inference.onnx_graph import Graph, make_model, samples, segment_model, tensor
from branchynet.inference.plan import make_plan
from branchynet.machine.files import remove, replacing
from branchynet.net import check_net
from branchynet.thresholds import Thresholds, as_exit_rule
from branchynet.thresholds.rule import as_float32

# Names and types of the answer, the same in the one file and in the segments.
_ANSWER = (("label", TensorProto.INT64), ("exit", TensorProto.INT64), ("entropy", TensorProto.FLOAT))


def export_onnx(net, thresholds, path, transform=None, sample_shape=None, thresholds_as_input=False) -> list:
    """Writes the network as ONNX files.

    `PATH`: one graph for one sample. Input: `x` (1, C, H, W) float32, or uint8 pixels where the transform goes in.
    Outputs: `label` (1,) int64, `exit` (1,) int64, 0 for the first, `entropy` (1,) float32 in nats, `logits`
    (1, n_classes) float32.

    `STEM.segmentN.onnx`, N from 1: for any number of samples. Input: `x` (n, ...), the samples or the features of the
    segment before. Outputs: `label`, `entropy`, `logits`, and `features`, except in the last one.
    Segments that an earlier export of a network with more exits left under this name are removed.

    Args:
        net: a `BranchyNet`.
        thresholds: what `branchynet.thresholds.as_exit_rule` takes, as entropies in nats.
        path: ends in .onnx; its folder exists.
        transform: of `branchynet.datasets.transforms`, to make the files take uint8 pixels; None leaves it outside.
        sample_shape: shape of one sample, (C, H, W); that of the net by default.
        thresholds_as_input: `PATH` has a second input, `thresholds` (n_exits - 1,) float32 in nats, that each call must
            give. (ONNX knows inputs with a default, too; but ONNX Runtime warns of them on each loading.)

    Returns:
        the paths of the files.

    Raises:
        CompileError: a layer or a transform that cannot be exported.
        DataError: a transform of other images, or what is none.
        NetworkError: it is no `BranchyNet`, it does not take such a sample, or no shape is known.
        ThresholdError: thresholds that do not fit the network, or percentages.
        OutputError: the files cannot be written.
    """
    check_net(net)
    path = as_path(path, OutputError, "a path that ends in .onnx")
    if path.suffix != ".onnx":
        raise OutputError(f"export: expected a path that ends in .onnx, got {shown(str(path))}")
    rule = as_exit_rule(thresholds, net.n_exits)
    if not isinstance(rule, Thresholds):
        raise ThresholdError(
            "export: expected thresholds in nats; a percentage is of a batch, the file is for one sample"
        )
    plan = with_transform(make_plan(net, sample_shape), transform)
    models = {path: _whole_model(plan, None if thresholds_as_input else rule.values, transform)}
    for index in range(plan.n_exits):
        models[path.with_suffix(f".segment{index + 1}.onnx")] = segment_model(
            plan, index, transform if index == 0 else None, with_answer=True
        )
    for model_path, model in models.items():
        with replacing(model_path) as handle:
            handle.write(model.SerializeToString())
    for stale in path.parent.glob(f"{glob.escape(path.stem)}.segment*.onnx"):
        if re.fullmatch(r"\d+", stale.name[len(f"{path.stem}.segment") : -len(".onnx")]) and stale not in models:
            remove(stale)
    return list(models)


def _whole_model(plan, thresholds, transform):
    """The one file; with thresholds None they are an input."""
    graph, inputs = Graph(), [samples(1, plan.in_shape, transform)]
    if thresholds is None:
        inputs.append(tensor("thresholds", [plan.n_exits - 1]))
        name = "thresholds"
    else:
        name = graph.constant(as_float32(thresholds), "thresholds")
    _add_segments(graph, plan, 0, graph.transformed("x", transform, plan.in_shape), "", name)
    return make_model(graph.build("branchynet", inputs, _infos(plan, "")))


def _add_segments(graph, plan, index, x, suffix, thresholds):
    """Adds the segments from `index` on; the answer gets the names of `_ANSWER` and `logits`, with the suffix."""
    segment = plan.segments[index]
    features = graph.operations(segment.trunk, x, segment.in_shape)
    logits = graph.operations(segment.head, features, segment.out_shape)
    entropy = graph.entropy(logits)
    if index == plan.n_exits - 1:
        _add_answer(graph, logits, index, entropy, suffix)
        return
    threshold = graph.node("Gather", thresholds, graph.constant(np.array([index], np.int64), "exit"), axis=0)
    leaves = graph.node("Squeeze", graph.node("Less", entropy, threshold))
    answer, onward = Graph(f"leave{index}_"), Graph(f"go_on{index}_")
    leaving, going_on = f"{suffix}_leave{index}", f"{suffix}_go_on{index}"
    _add_answer(answer, logits, index, entropy, leaving)
    _add_segments(onward, plan, index + 1, features, going_on, thresholds)
    branches = {
        "then_branch": answer.build("leave", [], _infos(plan, leaving)),
        "else_branch": onward.build("go_on", [], _infos(plan, going_on)),
    }
    graph.nodes.append(onnx.helper.make_node("If", [leaves], _names(suffix), **branches))


def _add_answer(graph, logits, index, entropy, suffix):
    label, exit_index, entropy_name, logits_name = _names(suffix)
    graph.node("ArgMax", logits, output=label, axis=1, keepdims=0)
    graph.node("Identity", graph.constant(np.array([index], np.int64), "exit"), output=exit_index)
    graph.node("Identity", entropy, output=entropy_name)
    graph.node("Identity", logits, output=logits_name)


def _names(suffix):
    return [f"{name}{suffix}" for name, _ in _ANSWER] + [f"logits{suffix}"]


def _infos(plan, suffix):
    *names, logits = _names(suffix)
    infos = [tensor(name, [1], kind) for name, (_, kind) in zip(names, _ANSWER)]
    return [*infos, tensor(logits, [1, plan.n_classes])]

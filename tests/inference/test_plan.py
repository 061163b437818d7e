"""What a compiled net computes: its layers in the compiler's own operations, each piece of work once."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer.link_hooks import SpectralNormalization
from tiny import assert_same_answers, moved, state_of, with_statistics

from branchynet import FL, Branch, BranchyNet, functions, run
from branchynet.errors import CompileError, NetworkError
from branchynet.inference import compile_net, register_lowering
from branchynet.inference.operations import Linear, Relu
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.links import BatchNormalization, Convolution2D, Layers, ResBlock
from networks import lenet_mnist


class Doubling(chainer.Link):
    """A link that the compiler does not know."""

    def forward(self, x):
        return 2 * x


def test_a_layer_that_cannot_be_compiled_is_named_by_its_place():
    net = BranchyNet([FL(F.relu), Branch([L.Linear(4, 2)]), Doubling(), Branch([L.Linear(4, 2)])])
    with pytest.raises(CompileError, match=r"trunk up to exit 2, layer 1: cannot compile <.*Doubling"):
        compile_net(net, (4,))
    net = BranchyNet([Branch([L.Linear(4, 2), FL(F.tanh)])])
    with pytest.raises(CompileError, match=r"exit 1, layer 2: cannot compile FL\(tanh\)"):
        compile_net(net, (4,))
    net = BranchyNet([Layers([FL(F.relu), FL(F.tanh)]), Branch([L.Linear(4, 2)])])
    with pytest.raises(CompileError, match=r"trunk up to exit 1, layer 1: Layers, layer 2: cannot compile FL\(tanh\)"):
        compile_net(net, (4,))


@pytest.mark.parametrize("settings", [{"groups": 2}, {"dilate": 2}, {"dilate": (1, 2)}, {"dilate": (2, 1)}])
def test_a_grouped_or_dilated_convolution_is_not_compiled(settings):
    net = BranchyNet([L.Convolution2D(2, 2, 2, **settings), Branch([L.Linear(None, 2)])])
    with pytest.raises(CompileError, match="exit 1, layer 1: cannot compile a grouped or dilated convolution"):
        compile_net(net, (2, 5, 5))


@pytest.mark.parametrize("kind", [L.BatchNormalization, BatchNormalization])
@pytest.mark.parametrize(
    "settings",
    [
        {"axis": (0, 1, 2), "size": 4},  # a mean for each column
        {"axis": (0, 1, 3), "size": 4},
        {"axis": (0, 2), "size": (4, 4)},
        {"axis": 0},
        {"size": (4, 4, 4)},
    ],
)
def test_batch_normalisation_of_anything_but_channels_is_not_compiled(kind, settings):
    net = BranchyNet([kind(**settings), Branch([L.Linear(None, 2)])])
    with pytest.raises(CompileError, match="layer 1: cannot compile a batch normalisation .*, got axis .*of shape"):
        compile_net(net, (4, 4, 4))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({"axis": (0, 2, 3)}, (4, 4, 4)), ({"size": 4}, (4, 4, 4)), ({"axis": 0}, (4,)), ({"size": 4}, (4,))],
)
def test_axes_may_say_that_channels_are_normalised(settings, shape):
    x = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    net = BranchyNet([L.BatchNormalization(**settings), Branch([L.Linear(None, 2)])], shape)
    with_statistics(net, x)
    assert_same_answers(compile_net(net, engine="arrays").run(x, []), run(net, x, []))


def test_relu_that_is_a_setting_of_max_pooling_is_computed():
    layers = [FL(functions.max_pooling_2d, 2, relu=True), FL(F.max_pooling_2d, 1), Branch([L.Linear(None, 2)])]
    plan = make_plan(BranchyNet(layers), (1, 4, 4))
    assert [type(op).__name__ for op in plan.segments[0].trunk] == ["MaxPooling", "Relu", "MaxPooling"]


@pytest.mark.parametrize("method", ["forward", "__call__"])
@pytest.mark.parametrize("kind", [L.Linear, Layers])
def test_a_link_with_a_method_of_its_own_is_not_taken_for_the_kind_that_it_is_derived_from(kind, method):
    Negated = type("Negated", (kind,), {method: lambda self, x: -getattr(kind, method)(self, x)})
    layer = Negated(4, 4) if kind is L.Linear else Negated([L.Linear(4, 4)])
    with pytest.raises(CompileError, match="layer 1: cannot compile <.*Negated"):
        compile_net(BranchyNet([layer, Branch([L.Linear(4, 3)])]), (4,))


def test_a_link_with_hooks_is_not_compiled():
    layer = L.Linear(4, 4).add_hook(SpectralNormalization())
    with pytest.raises(CompileError, match="exit 1, layer 1: cannot compile a link with hooks, got SpectralNorm"):
        compile_net(BranchyNet([layer, Branch([L.Linear(4, 3)])]), (4,))


def test_a_lowering_can_be_added_from_outside(engine):
    class Negated(L.Linear):
        def forward(self, x):
            return -super().forward(x)

    @register_lowering(Negated)
    def lower_negated(link):
        return [Linear(-link.W.array, -link.b.array)]

    net = BranchyNet([Negated(4, 4), FL(F.relu), Branch([L.Linear(4, 3)])])
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    assert_same_answers(compile_net(net, (4,), **engine).run(x, []), run(net, x, []))


def test_work_that_branch_and_trunk_both_begin_with_is_done_once():
    plan = make_plan(BranchyNet(lenet_mnist.get_network()), lenet_mnist.INPUT_SHAPE)
    assert [type(op).__name__ for op in plan.segments[0].trunk] == ["Convolution", "MaxPooling", "Relu"]
    assert [type(op).__name__ for op in plan.segments[0].head] == ["Convolution", "MaxPooling", "Relu", "Linear"]
    assert Relu() not in plan.segments[1].trunk[:1]


STATISTICS = [("avg_mean", np.inf), ("avg_mean", np.nan), ("avg_var", np.nan), ("avg_var", -1)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "value"), STATISTICS)
@pytest.mark.parametrize("before", [[], [Convolution2D(1, 1, 1)]], ids=["by itself", "folded"])
def test_statistics_that_are_not_finite_are_not_compiled(before, name, value):
    normalisation = BatchNormalization(1)
    net = BranchyNet([Branch([L.Linear(4, 2)]), *before, normalisation, Branch([L.Linear(4, 2)])], (1, 2, 2))
    getattr(normalisation, name)[0] = value
    for make, number in ((make_plan, 2), (make_plain_plan, 1)):
        with pytest.raises(NetworkError, match=f"segment {number}: expected finite weights with batch norm"):
            make(net)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_statistics_and_products_that_are_not_finite_are_found_in_heads_and_residual_blocks():
    block, linear = ResBlock(1, 1), L.Linear(4, 2, initialW=1e38)
    net = BranchyNet([Branch([block, L.Linear(4, 2)]), Branch([linear, L.BatchNormalization(2)])], (1, 2, 2))
    with pytest.raises(NetworkError, match="segment 2: expected finite"):
        net.exits[1][1].gamma.array[...] = 1e38
        make_plan(net)
    with pytest.raises(NetworkError, match="segment 1: expected finite"):
        block.bn2.avg_mean[...] = np.inf
        make_plan(net)


@pytest.mark.parametrize("make", [make_plan, make_plain_plan])
def test_a_plan_for_samples_of_another_shape_leaves_the_net_as_it_was(make):
    net = BranchyNet([FL(F.average_pooling_2d, 3), Branch([L.Linear(None, 2)])], (1, 3, 3))
    before = state_of(net)
    assert make(net, (1, 5, 5)).in_shape == (1, 5, 5)
    assert (net.sample_shape, net.n_classes) == ((1, 3, 3), 2) and not moved(before, state_of(net))
    assert make(net).in_shape == (1, 3, 3)


def test_a_plan_gives_open_parameters_their_shape_and_the_net_none():
    net = BranchyNet([Branch([L.Linear(None, 2)])])
    plan = make_plan(net, (1, 3, 3))
    np.testing.assert_array_equal(plan.segments[0].head[0].W, net.exits[0][0].W.array)
    assert net.sample_shape is None and net.n_classes is None


def test_multiply_adds_are_those_of_the_layers():
    net = BranchyNet(lenet_mnist.get_network())
    conv1, branch = 25 * 5 * 30 * 30, 45 * 10 * 15 * 15 + 6400
    rest = 125 * 10 * 17 * 17 + 250 * 20 * 11 * 11 + 720 * 84 + 840
    assert make_plan(net, lenet_mnist.INPUT_SHAPE).path_multiply_adds() == [conv1 + branch, conv1 + branch + rest]
    assert make_plain_plan(net, lenet_mnist.INPUT_SHAPE).path_multiply_adds() == [conv1 + rest]


def test_batch_normalisation_is_folded_and_dropout_is_gone():
    layers = [
        Convolution2D(1, 2, 3),
        L.BatchNormalization(2),
        FL(F.dropout),
        Branch([ResBlock(2, 2), L.Linear(None, 3)]),
    ]
    plan = make_plan(BranchyNet(layers), (1, 5, 5))
    assert [type(op).__name__ for op in plan.segments[0].trunk] == ["Convolution"]
    assert [type(op).__name__ for op in plan.segments[0].head] == ["Residual", "Relu", "Linear"]
    assert [type(op).__name__ for op in plan.segments[0].head[0].body] == ["Convolution", "Relu", "Convolution"]

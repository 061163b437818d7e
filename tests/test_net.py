"""The network list becomes a trunk with exits, in which every layer exists once."""

import collections

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import N_CLASSES, SHAPE, tiny_batch, tiny_list, tiny_net

from branchynet import FL, Branch, BranchyNet
from branchynet.errors import NetworkError
from branchynet.functions import dropout, max_pooling_2d, plain_chainer
from branchynet.links import Convolution2D, apply_layers
from branchynet.machine.devices import to_host


def test_each_exit_is_its_path_through_the_list(device):
    layers = tiny_list()
    net = BranchyNet(layers).to_device(device)
    x, _ = tiny_batch()
    with chainer.using_config("train", False):
        logits = net(device.send(x))
        h, expected = device.send(x), []
        for layer in layers:
            if isinstance(layer, Branch):
                expected.append(layer(h))
            else:
                h = layer(h)
    assert len(logits) == net.n_exits == 3
    for ours, theirs in zip(logits, expected):
        assert ours.shape == (len(x), N_CLASSES)
        np.testing.assert_array_equal(to_host(ours.array), to_host(theirs.array))


def test_layers_are_shared_by_identity_never_copied():
    layers = tiny_list()
    net = BranchyNet(layers)
    links = [layer for layer in layers if isinstance(layer, chainer.Link)]
    in_net = [link for stage, branch in net.stages() for link in [*stage, branch]]
    assert [id(link) for link in in_net] == [id(link) for link in links]
    baseline = net.plain()
    assert baseline.trunk is net.trunk
    assert baseline.last_exit is net.exits[-1] is layers[-1]


def test_the_baseline_is_the_last_exit_without_the_branches():
    net = tiny_net()
    x, _ = tiny_batch()
    with chainer.using_config("train", False):
        np.testing.assert_array_equal(net.plain()(x).array, net(x)[-1].array)
    n_branch_params = sum(1 for branch in list(net.exits)[:-1] for _ in branch.params())
    assert len(list(net.plain().params())) == len(list(net.params())) - n_branch_params


def test_one_pass_over_the_trunk_serves_all_exits():
    calls = []

    def counted(x):
        calls.append(1)
        return x

    net = BranchyNet([FL(counted), Branch([L.Linear(4, 2)]), Branch([L.Linear(4, 2)]), Branch([L.Linear(4, 2)])])
    net(np.zeros((1, 4), np.float32))
    assert len(calls) == 1


def _list_that_repeats_itself(repeated):
    """A branch and the trunk behind it begin with the same layers."""
    return [
        Convolution2D(1, 2, 3, pad=1),
        Branch([*repeated(), L.Linear(18, N_CLASSES)]),
        *repeated(),
        Convolution2D(2, 3, 3),
        Branch([L.Linear(3, N_CLASSES)]),
    ]


class _CountFunctions(chainer.FunctionHook):
    """How often each function was computed, forward."""

    name = "CountFunctions"

    def __init__(self):
        self.counts = collections.Counter()

    def forward_preprocess(self, function, in_data):
        self.counts[function.label] += 1


def test_a_copy_has_weights_of_its_own_and_answers_with_them():
    net, (x, _) = tiny_net(), tiny_batch()
    copied = net.copy("copy")
    with chainer.using_config("train", False):
        expected = [logits.array for logits in net(x)]
        for param in net.params():
            param.array[...] += 1
        assert [(ours.array == theirs).all() for ours, theirs in zip(copied(x), expected)] == [True] * 3
        assert not any((ours.array == theirs).any() for ours, theirs in zip(net(x), expected))
    assert [id(layer) for stage in copied.trunk for layer in stage.layers if isinstance(layer, chainer.Link)] == [
        id(link) for stage in copied.trunk for link in stage
    ]


def _assigned(layers, layer):
    layers[0] = layer


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda stage, layer: _assigned(stage, layer), NetworkError),
        (lambda stage, layer: stage.__delitem__(0), NetworkError),
        (lambda stage, layer: stage.insert(0, layer), NetworkError),
        (lambda stage, layer: stage.append(layer), NetworkError),
        (lambda stage, layer: _assigned(stage.layers, layer), TypeError),
    ],
)
def test_the_layers_of_a_net_that_is_built_are_not_exchanged(change, error):
    net, (x, _) = tiny_net(), tiny_batch()
    before = net(x)[0].array
    with pytest.raises(error, match="expected a new network list|does not support item assignment"):
        change(net.trunk[0], Convolution2D(1, 2, 3, pad=1))
    np.testing.assert_array_equal(net(x)[0].array, before)


def test_what_a_branch_and_the_trunk_both_begin_with_is_done_once_with_the_same_logits_and_gradients():
    layers = _list_that_repeats_itself(lambda: [FL(F.relu), FL(max_pooling_2d, 2, 2)])
    net = BranchyNet(layers, SHAPE)
    x, t = tiny_batch()
    with _CountFunctions() as hook:
        logits = net(x)
    assert (hook.counts["ReLU"], hook.counts["_MaxPooling2D"]) == (0, 1)  # ReLU is a part of it

    def gradients(logits):
        net.cleargrads()
        sum(F.softmax_cross_entropy(y, t) for y in logits).backward()
        return {name: param.grad for name, param in net.namedparams()}

    conv1, branch1, *rest, branch2 = layers
    h = conv1(x)
    apart = [branch1(h), branch2(apply_layers(rest, h))]
    for ours, theirs in zip(logits, apart):
        np.testing.assert_array_equal(ours.array, theirs.array)
    ours, theirs = gradients(logits), gradients(apart)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_max_pooling_does_the_relu_before_it_with_the_same_values_and_gradients():
    layers = [FL(F.relu), FL(max_pooling_2d, 3, 2)]
    x = chainer.Variable(np.random.default_rng(0).integers(-2, 3, (4, 3, 7, 7)).astype(np.float32))  # many equal ones
    with _CountFunctions() as hook:
        pooled = apply_layers(layers, x)
    assert list(hook.counts) == ["_MaxPooling2D"]
    with plain_chainer(), _CountFunctions() as hook:
        as_written = apply_layers(layers, x)
    assert list(hook.counts) == ["ReLU", "MaxPoolingND"]

    gy = np.random.default_rng(1).standard_normal(pooled.shape).astype(np.float32)
    (ours,), (theirs,) = (chainer.grad([y], [x], [chainer.Variable(gy)]) for y in (pooled, as_written))
    np.testing.assert_array_equal(pooled.array, as_written.array)
    np.testing.assert_allclose(ours.array, theirs.array, rtol=1e-5, atol=1e-6)


def test_max_pooling_of_windows_that_hold_nothing_but_padding_stays_behind_the_relu():
    x = np.full((1, 1, 2, 2), -1, np.float32)
    y = apply_layers([FL(F.relu), FL(max_pooling_2d, 1, stride=2)], x).array
    np.testing.assert_array_equal(y[0, 0], [[0, -np.inf], [-np.inf, -np.inf]])


@pytest.mark.parametrize(
    "repeated",
    [
        lambda: [FL(dropout, 0.5), FL(max_pooling_2d, 2, 2)],
        lambda: [FL(lambda x: F.max_pooling_2d(x, 2))],
        lambda: [Convolution2D(2, 2, 1), FL(max_pooling_2d, 2, 2)],
    ],
    ids=["chance", "a function that is not known", "parameters"],
)
def test_what_may_differ_from_time_to_time_or_has_parameters_is_not_shared(repeated):
    layers = _list_that_repeats_itself(repeated)
    (trunk, head), _ = BranchyNet(layers).segments()
    assert trunk == (layers[0],) and head == layers[1].layers


def test_other_settings_are_not_shared():
    net = BranchyNet(
        [
            FL(F.relu),
            Branch([FL(F.max_pooling_2d, 2), L.Linear(9, 2)]),
            FL(F.max_pooling_2d, 3),
            Branch([L.Linear(4, 2)]),
        ]
    )
    assert [len(layers) for segment in net.segments() for layers in segment] == [1, 2, 1, 1]


def test_exits_may_stand_anywhere():
    first = Branch([L.Linear(4, 2)])
    net = BranchyNet([first, Branch([L.Linear(4, 2)]), FL(F.relu), Branch([L.Linear(4, 2)])])
    assert net.n_exits == 3
    assert [logits.shape for logits in net(np.ones((5, 4), np.float32))] == [(5, 2)] * 3
    assert BranchyNet([first]).n_exits == 1


def test_weights_of_the_exits_are_read_from_the_list():
    assert tiny_net(weights=(2.0, 0.5, 0.3)).loss_weights == (2.0, 0.5, 0.3)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "expected a Branch as the last item"),
        ([L.Linear(2, 2)], "expected a Branch as the last item"),
        ([[L.Linear(2, 2)], Branch([L.Linear(2, 2)])], r"network list\[0\].*nested list"),
        ([L.Linear, Branch([L.Linear(2, 2)])], "got the class Linear"),
        (L.Linear(2, 2), "expected a list"),
    ],
)
def test_a_list_of_another_form_is_refused(layers, message):
    with pytest.raises(NetworkError, match=message):
        BranchyNet(layers)


def test_a_layer_that_stands_twice_is_refused():
    layer = L.Linear(2, 2)
    with pytest.raises(NetworkError, match="every layer exists once"):
        BranchyNet([layer, layer, Branch([L.Linear(2, 2)])])
    with pytest.raises(NetworkError, match="every layer exists once"):
        BranchyNet([layer, Branch([layer])])


def test_initialise_gives_open_shapes_their_size():
    net = BranchyNet([FL(F.relu), Branch([L.Linear(None, 4)])])
    net.initialise(SHAPE)
    assert net.exits[0].layers[0].W.shape == (4, 36)


def test_initialise_refuses_a_network_that_does_not_fit():
    with pytest.raises(NetworkError, match="does not take a sample of shape"):
        tiny_net().initialise((1, 9, 9))
    layers = [Convolution2D(1, 8, 3), Branch([L.Linear(None, 3)]), Convolution2D(9, 8, 1), Branch([L.Linear(None, 3)])]
    with pytest.raises(
        NetworkError, match=r"Convolution2D\(W\(8, 9, 1, 1\).*, on the way to exit 2, got shape \(8, 4, 4\)"
    ):
        BranchyNet(layers, (1, 6, 6))
    with pytest.raises(NetworkError, match="logits .* of one shape"):
        BranchyNet([Branch([L.Linear(36, 3)]), Branch([L.Linear(36, 4)])]).initialise(SHAPE)
    with pytest.raises(NetworkError, match="logits"):
        BranchyNet([Branch([FL(F.relu)])]).initialise(SHAPE)


@pytest.mark.parametrize("layer", [Convolution2D(1, 2, 5), FL(F.max_pooling_2d, 5, cover_all=False)])
def test_initialise_refuses_a_sample_that_is_smaller_than_a_window(layer):
    with pytest.raises(NetworkError, match=r"does not take a sample of shape \(1, 3, 3\): .*should be positive"):
        BranchyNet([layer, Branch([L.Linear(None, 3)])], (1, 3, 3))


def test_a_description_tells_architectures_apart():
    assert tiny_net(seed=0).describe() == tiny_net(seed=1).describe()
    other = BranchyNet([*tiny_list()[:-1], Branch([L.Linear(8, 4)])])
    assert other.describe() != tiny_net().describe()


def test_networks_move_between_devices(device):
    net = tiny_net(device=device)
    assert all(isinstance(param.array, device.xp.ndarray) for param in net.params())

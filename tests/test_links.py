"""The vocabulary of a network list: FL, Layers, Branch, ResBlock."""

import dataclasses
import functools

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest

from branchynet import FL, Branch, functions
from branchynet.errors import NetworkError
from branchynet.links import BatchNormalization, Convolution2D, Layers, ResBlock, describe_layer


def test_a_function_layer_passes_its_settings_on():
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(FL(F.max_pooling_2d, 2, stride=1)(x).array, [[[[3]]]])


def test_a_function_layer_is_described_alike_in_every_process():
    class Activation:
        def __call__(self, x):
            return F.relu(x)

    layers = [functools.partial(F.leaky_relu, slope=0.1), Activation(), FL(F.dropout, ratio=F.relu)]
    first, second, third = Layers(layers).describe()
    assert first == "FL(functools.partial(<function leaky_relu>, slope=0.1))"
    assert second.endswith("Activation object>)") and third == "FL(dropout, ratio=<function relu>)"


def test_layers_apply_in_order():
    layers = Layers([lambda x: x + 1, FL(F.relu), lambda x: x * 2])
    np.testing.assert_array_equal(layers(np.array([-3.0, 1.0], np.float32)).array, [0.0, 4.0])


class OwnForward(Convolution2D):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "layer", [OwnForward(2, 3, 1), FL(functions.max_pooling_2d, 2, relu=True)], ids=["link", "function"]
)
def test_a_layer_that_cannot_take_the_relu_behind_it_leaves_it_there(layer, rng):
    x = rng.standard_normal((2, 2, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(Layers([layer, FL(F.relu)])(x).array, np.maximum(layer(x).array, 0))


@pytest.mark.parametrize("settings", [{"axis": (0, 1, 2), "size": 4}, {"size": (3, 4, 4)}, {"size": 3}], ids=str)
def test_batch_normalisation_in_training_is_chainers_along_whatever_axes(settings, rng):
    x = rng.standard_normal((5, 3, 4, 4)).astype(np.float32)
    with chainer.using_config("train", True):
        found, expected = (kind(**settings)(x).array for kind in (BatchNormalization, L.BatchNormalization))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("settings", [{"axis": (0, 2, 3)}, {"size": 3}], ids=str)
def test_batch_normalisation_takes_what_else_chainers_takes(settings, rng):
    x = rng.standard_normal((5, 3, 4, 4)).astype(np.float32)
    ours, chainers = (kind(**settings) for kind in (BatchNormalization, L.BatchNormalization))
    for _ in range(2):
        found = [F.forget(link, chainer.Variable(x)) for link in (ours, chainers)]
        for y in found:
            F.sum(y**2).backward()
        np.testing.assert_allclose(ours(x, finetune=True).array, chainers(x, finetune=True).array, atol=1e-5)
    np.testing.assert_allclose(ours.avg_mean, chainers.avg_mean, atol=1e-6)


def test_a_function_layer_takes_any_callable_but_a_link():
    @dataclasses.dataclass
    class Times:
        factor: float

        def __call__(self, x):
            return self.factor * x

    layers = Layers([FL(Times(2.0)), FL(F.relu)])
    np.testing.assert_array_equal(layers(np.array([-3.0, 1.0], np.float32)).array, [0.0, 2.0])
    with pytest.raises(NetworkError, match="got a link, Linear: put it into the list"):
        FL(L.Linear(2, 2))


def test_a_description_tells_settings_apart_that_are_not_the_usual_ones():
    pairs = [(Convolution2D(1, 2, 3), Convolution2D(1, 2, 3, dilate=2))]
    pairs.append((BatchNormalization(3), BatchNormalization(3, axis=(0, 2, 3))))
    assert all(describe_layer(one) != describe_layer(other) for one, other in pairs)
    assert "dilate" not in describe_layer(pairs[0][0])


def test_a_branch_weighs_its_loss():
    assert Branch([L.Linear(2, 2)]).weight == 1.0
    assert Branch([L.Linear(2, 2)], weight=0.3).weight == 0.3


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "1", None, True])
def test_a_loss_weight_that_is_none_is_refused(weight):
    with pytest.raises(NetworkError, match="finite loss weight"):
        Branch([L.Linear(2, 2)], weight=weight)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([[L.Linear(2, 2)]], "nested list"),
        ([(L.Linear(2, 2),)], "nested tuple"),
        ([Branch([L.Linear(2, 2)])], "Branch inside a Branch"),
        ([L.Linear], r"write Linear\(...\)"),
        ([3], "expected a link, FL or Branch, got 3"),
        ([], "at least one layer"),
        (L.Linear(2, 2), "expected a list of layers"),
    ],
)
def test_a_branch_that_is_no_flat_list_of_layers_is_refused(layers, message):
    with pytest.raises(NetworkError, match=message):
        Branch(layers)


@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), [(4, 4, 1), (4, 6, 2), (3, 5, 1)])
def test_a_residual_block_is_two_convolutions_and_a_shortcut(in_channels, out_channels, stride):
    block = ResBlock(in_channels, out_channels, stride)
    x = np.random.default_rng(0).normal(size=(2, in_channels, 5, 5)).astype(np.float32)
    h = F.relu(block.bn1(F.convolution_2d(x, block.conv1.W, stride=stride, pad=1)))
    h = block.bn2(F.convolution_2d(h, block.conv2.W, pad=1)).array
    h[:, :in_channels] += x[:, :, ::stride, ::stride]
    with chainer.using_config("train", True):
        np.testing.assert_allclose(block(x).array, np.maximum(h, 0), rtol=1e-4, atol=1e-5)

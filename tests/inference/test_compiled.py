"""Compiled inference gives the answers of the reference path, on every engine, for every batch size."""

import math

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import (
    N_CLASSES,
    SHAPE,
    assert_same_answers,
    drawn_net,
    mixed_thresholds,
    tiny_batch,
    tiny_net,
    tiny_samples,
    with_statistics,
)

from branchynet import FL, Branch, PercentExits, run
from branchynet.datasets.transforms import TRANSFORMS, Normalise
from branchynet.errors import DataError, MeasureError, NetworkError, ThresholdError
from branchynet.inference import compile_net, compile_plain, record_exits
from branchynet.links import Convolution2D
from branchynet.machine.devices import get_device, to_host
from branchynet.thresholds import Thresholds, as_exit_rule
from networks import alexnet_cifar10, lenet_mnist, resnet_cifar10

NETWORKS = {
    "lenet": (lenet_mnist.get_network, lenet_mnist.INPUT_SHAPE),
    "alexnet paper": (lambda: alexnet_cifar10.get_network(placement="paper"), alexnet_cifar10.INPUT_SHAPE),
    "alexnet authors": (lambda: alexnet_cifar10.get_network(placement="authors"), alexnet_cifar10.INPUT_SHAPE),
    "resnet": (lambda: resnet_cifar10.get_network(n=1), resnet_cifar10.INPUT_SHAPE),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_papers_networks_answer_as_the_reference_path(name, engine, rng):
    build, shape = NETWORKS[name]
    x = rng.normal(size=(21, *shape)).astype(np.float32)
    net = with_statistics(drawn_net(build, shape), x)
    thresholds = mixed_thresholds(net, x)
    expected = run(net, x, thresholds)
    assert len(set(expected.exits.tolist())) > 1
    compiled = compile_net(net, **engine)
    assert_same_answers(compiled.run(x, thresholds), expected)
    for i in range(5):
        assert_same_answers(compiled.run(x[i : i + 1], thresholds), run(net, x[i : i + 1], thresholds))


@pytest.mark.parametrize("n_samples", [1, 2, 3, 31, 32, 33, 70])
def test_batch_size_does_not_change_an_answer(engine, n_samples):
    net = tiny_net()
    x, _ = tiny_batch(70)
    thresholds = mixed_thresholds(net, x)
    compiled = compile_net(net, **engine)
    assert_same_answers(compiled.run(x[:n_samples], thresholds), run(net, x[:n_samples], thresholds))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("threshold", "exit_index"), [(0, 2), (math.log(N_CLASSES) + 0.01, 0), (1e300, 0)])
@pytest.mark.parametrize("n_samples", [1, 5])
def test_the_ends_of_the_range_of_thresholds(engine, threshold, exit_index, n_samples):
    answers = compile_net(tiny_net(), **engine).run(tiny_batch(n_samples)[0], threshold)
    assert set(to_host(answers.exits)) == {exit_index}


def test_answers_stay_when_the_next_ones_are_computed(engine):
    compiled = compile_net(tiny_net(), **engine)
    x, _ = tiny_batch(8)
    for n_samples in (1, 4):
        first = compiled.run(x[:n_samples], 0.0)
        kept = to_host(first.logits).copy()
        compiled.run(x[4 : 4 + n_samples], 0.0)
        np.testing.assert_array_equal(to_host(first.logits), kept)


@pytest.mark.parametrize(
    ("n", "beta"), [(1, 0.5), (2, 1.0), (4, 0.75), (4, 0.5), (5, 0.5), (13, 0.5), (5, 0.75), (5, 1.75)]
)
def test_local_response_normalization_of_any_settings(n, beta, engine):
    assert_engine_knows(engine, FL(F.local_response_normalization, n, 2.0, 0.1, beta))


@pytest.mark.parametrize("pooling", [(F.max_pooling_2d, 3, 1, 2), (F.max_pooling_2d, 2, 2, 1)])
def test_max_pooling_with_little_but_padding_in_a_window(pooling, engine):
    assert_engine_knows(engine, FL(*pooling))


@pytest.mark.parametrize("pooling", [(F.max_pooling_2d, 1, 2, 1), (F.max_pooling_2d, 2, 2, 2, False)])
def test_relu_makes_zeros_of_the_maxima_of_windows_that_hold_nothing_but_padding(pooling, engine):
    assert_engine_knows(engine, FL(*pooling), FL(F.relu))


@pytest.mark.parametrize("pad", [2, 3, 5])
@pytest.mark.parametrize(("ksize", "stride"), [(2, 1), (2, 2), (3, 2)])
def test_average_pooling_with_nothing_but_padding_in_a_window(ksize, stride, pad, engine):
    assert_engine_knows(engine, FL(F.average_pooling_2d, ksize, stride, pad))


def test_batch_normalisation_that_no_layer_before_it_takes_in(engine):
    def build():
        head = [L.Linear(None, 4), FL(F.relu), L.BatchNormalization(4), L.Linear(4, N_CLASSES)]
        return [Convolution2D(1, 2, 3), FL(F.relu), L.BatchNormalization(2), Branch(head)]

    x, _ = tiny_batch(9)
    net = with_statistics(drawn_net(build, SHAPE), x)
    compiled = compile_net(net, **engine)
    for n_samples in (1, 9):
        assert_same_answers(compiled.run(x[:n_samples], []), run(net, x[:n_samples], []))


@pytest.mark.parametrize("first", [[L.Linear(None, N_CLASSES)], []], ids=["linear", "nothing"])
def test_a_branch_may_be_shared_with_the_trunk_as_a_whole(first, engine):
    layers = [*first, Branch([FL(F.relu)]), FL(F.relu), Branch([FL(F.dropout)]), Branch([L.Linear(None, N_CLASSES)])]
    x = np.random.default_rng(0).normal(size=(9, N_CLASSES)).astype(np.float32)
    net = drawn_net(lambda: layers, x.shape[1:])
    compiled, thresholds = compile_net(net, **engine), mixed_thresholds(net, x)
    for rows in (slice(None), slice(1), slice(1, 2), slice(2, 3)):
        assert_same_answers(compiled.run(x[rows], thresholds), run(net, x[rows], thresholds))


def assert_engine_knows(engine, *layers):
    """An engine gives the answers of the reference path for a network with these layers."""
    net = drawn_net(lambda: [Convolution2D(1, 6, 3), *layers, Branch([L.Linear(None, N_CLASSES)])], SHAPE)
    x, _ = tiny_batch(5)
    assert_same_answers(compile_net(net, **engine).run(x, []), run(net, x, []))


def test_the_plain_network_compiles_for_the_same_engines(engine):
    net = tiny_net()
    x, _ = tiny_batch(9)
    plain = compile_plain(net, **engine)
    with chainer.using_config("train", False):
        expected = net.plain()(x).array
    np.testing.assert_allclose(to_host(plain.run(x, []).logits), expected, atol=1e-5)
    assert set(to_host(plain.run(x, []).exits)) == {0}
    assert np.isnan(to_host(plain.run(x, []).scores)).all(), "no score is computed that nobody asks for"
    assert np.isnan(to_host(plain.run(x[:1], []).scores)).all()
    with pytest.raises(MeasureError, match="record_exits: expected a net with a measure, got a plain one"):
        plain.record_exits(x, np.zeros(9, np.int32))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_images_are_answered_where_a_transform_is_compiled_in(name, engine):
    images = tiny_samples(40).images
    transform, net = TRANSFORMS[name].fit(images), tiny_net()
    x = transform(images)
    thresholds = mixed_thresholds(net, x)
    compiled, device = compile_net(net, transform=transform, **engine), get_device(engine["device"])
    for n_samples in (0, 1, 40):
        expected = run(net, x[:n_samples], thresholds)
        assert_same_answers(compiled.run(images[:n_samples], thresholds), expected)
        assert_same_answers(compiled.run(device.send(images[:n_samples]), thresholds), expected)
    assert_same_answers(compiled.run(images[::2], thresholds), run(net, x[::2], thresholds))
    plain = compile_plain(net, transform=transform, **engine)
    np.testing.assert_array_equal(to_host(plain.run(images, ()).labels), run(net, x, 0.0).labels)
    labels = np.zeros(40, np.int32)
    recorded = compiled.record_exits(images, labels), record_exits(net, x, labels)
    np.testing.assert_allclose(*[found.scores for found in recorded], atol=1e-4)
    with pytest.raises(DataError, match="expected uint8 images, got float32"):
        compiled.run(x, thresholds)
    for wrong in (images[:, :, :5], images[:, 0], np.ma.masked_array(images)):
        with pytest.raises((NetworkError, DataError), match="expected"):
            compiled.run(wrong, thresholds)


def test_a_transform_of_other_images_is_refused(engine):
    with pytest.raises(DataError, match=r"normalise: expected images \(N, 2, H, W\)"):
        compile_net(tiny_net(), transform=Normalise((0.5, 0.5), (0.1, 0.1)), **engine)


@pytest.mark.parametrize("name", ["arrays", "onnxruntime"])
def test_percent_exits_leave_by_share_of_the_batch(name):
    compiled = compile_net(tiny_net(), engine=name)
    exits = compiled.run(tiny_batch(40)[0], PercentExits((50, 50))).exits
    assert np.bincount(exits).tolist() == [20, 10, 10]
    assert compiled.run(tiny_batch(1)[0], PercentExits((0, 100))).exits.tolist() == [1]


def test_an_engine_that_decides_for_each_sample_refuses_percentages():
    with pytest.raises(ThresholdError, match="engine native: expected thresholds, got percentages"):
        compile_net(tiny_net(), engine="native").run(tiny_batch(40)[0], PercentExits((50, 50)))


def test_a_non_contiguous_batch_and_an_empty_one(engine):
    net = tiny_net()
    x, _ = tiny_batch(12)
    compiled = compile_net(net, **engine)
    assert_same_answers(compiled.run(x[::2], 1.0), run(net, x[::2], 1.0))
    transposed = np.ascontiguousarray(x.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    assert_same_answers(compiled.run(transposed[:1], 1.0), run(net, x[:1], 1.0))
    empty = compiled.run(x[:0], 1.0)
    assert len(empty.labels) == 0 and empty.logits.shape == (0, N_CLASSES)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, *SHAPE)), "expected a float32 batch .*, got float64"),
        (np.zeros((2, 1, 7, 6), np.float32), r"expected samples of shape \(1, 6, 6\), got \(1, 7, 6\)"),
        (np.full((1, *SHAPE), np.nan, np.float32), "NaN or infinity"),
        (np.full((3, *SHAPE), np.inf, np.float32), "NaN or infinity"),
        (np.stack([np.full(SHAPE, np.inf), np.full(SHAPE, -np.inf)]).astype(np.float32), "NaN or infinity"),
    ],
)
def test_an_input_of_another_form_is_refused(engine, x, message):
    with pytest.raises(NetworkError, match=message):
        compile_net(tiny_net(), **engine).run(x, 1.0)


def test_large_numbers_are_answered_as_long_as_no_sum_of_them_overflows(engine):
    net, compiled = tiny_net(), compile_net(tiny_net(), **engine)
    for n_samples in (1, 2, 12):
        x = np.full((n_samples, *SHAPE), 9.9e17, np.float32)  # of 12 samples the sum of the squares is infinite
        np.testing.assert_array_equal(to_host(compiled.run(x, 0.0).labels), run(net, x, 0.0).labels)
        for answer in (lambda x: run(net, x, 0.0), lambda x: compiled.run(x, 0.0)):
            with pytest.raises(NetworkError, match=r"expected numbers of at most 1e\+18"):
                answer(np.full((n_samples, *SHAPE), 3e38, np.float32))


@pytest.mark.parametrize("n_samples", [1, 5])
def test_logits_that_are_not_finite_are_an_error_at_the_exit_where_they_arise(engine, n_samples):
    net, (x, labels) = tiny_net(), tiny_batch(n_samples)
    net.exits[1].layers[1].b.array[1] = 3e38
    net.exits[1].layers[1].W.array[1] = np.sign(net.exits[1].layers[1].W.array[1]) * np.float32(1e38)
    compiled = compile_net(net, **engine)
    assert set(to_host(compiled.run(x, [math.inf, 0.0]).exits)) == {0}, "nobody comes there"
    big = 100 * np.abs(x)
    for answer in (run, lambda net, x, thresholds: compiled.run(x, thresholds)):
        with pytest.raises(NetworkError, match="expected finite logits, got NaN or infinity"):
            answer(net, big, 0.0)
    with pytest.raises(NetworkError, match="exit 2: expected finite logits"):
        record_exits(net, big, labels)


@pytest.mark.parametrize("n_samples", [1, 5])
def test_logits_so_far_apart_that_they_have_no_score_are_an_error(engine, n_samples):
    """float32 does not hold their difference."""
    net, (x, _) = tiny_net(), tiny_batch(n_samples)
    net.exits[1].layers[1].W.array[...] = 0
    net.exits[1].layers[1].b.array[...] = 3e38, -3e38, 0
    compiled = compile_net(net, **engine)
    assert set(to_host(compiled.run(x, [math.inf, 0.0]).exits)) == {0}, "nobody comes there"
    for answer in (lambda: run(net, x, 0.0), lambda: compiled.run(x, 0.0)):
        with np.errstate(all="ignore"), pytest.raises(MeasureError, match="entropy: .* numbers, got NaN at exit 2"):
            answer()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_compiled(engine, value):
    net = tiny_net()
    net.trunk[1].layers[0].W.array[0, 0, 0, 0] = value
    with pytest.raises(NetworkError, match="expected finite weights, got NaN or infinity in /trunk/1/0/W"):
        compile_net(net, **engine)
    with pytest.raises(NetworkError, match="expected finite weights"):
        compile_plain(net, **engine)


def test_a_wrong_number_of_thresholds_is_refused(engine):
    with pytest.raises(ThresholdError, match=r"expected 2 \(the last exit takes all\), got 3"):
        compile_net(tiny_net(), **engine).run(tiny_batch()[0], [1, 2, 3])


def test_later_changes_of_the_weights_do_not_reach_a_compiled_net(engine):
    net = tiny_net()
    x, _ = tiny_batch()
    compiled = compile_net(net, **engine)
    before = to_host(compiled.run(x, 1.0).logits).copy()
    for param in net.params():
        param.array[...] += 1
    np.testing.assert_array_equal(to_host(compiled.run(x, 1.0).logits), before)


@pytest.mark.parametrize("kind", [tuple, list, lambda arrays: Thresholds(tuple(arrays)), lambda arrays: arrays[0]])
def test_thresholds_that_are_changed_in_place_are_looked_at_again_unless_they_are_a_rule(engine, kind):
    net, (x, _), arrays = tiny_net(), tiny_batch(), [np.array(0.0), np.array(0.0)]
    compiled, thresholds = compile_net(net, **engine), kind(arrays)
    for value in (0.0, 9.0):
        for array in arrays:
            array[...] = value
        for rows in (slice(1), slice(None)):
            assert_same_answers(compiled.run(x[rows], thresholds), run(net, x[rows], thresholds))
    assert set(run(net, x, thresholds).exits.tolist()) == {2 if isinstance(thresholds, Thresholds) else 0}


@pytest.mark.parametrize("thresholds", [0.9, (0.5, 0.9), Thresholds([0.5, 0.9])], ids=["number", "tuple", "rule"])
def test_thresholds_that_cannot_change_are_looked_at_once(thresholds, monkeypatch):
    looked_at = []
    monkeypatch.setattr(
        "branchynet.inference.compiled.as_exit_rule", lambda *given: looked_at.append(given) or as_exit_rule(*given)
    )
    (x, _), compiled = tiny_batch(3), compile_net(tiny_net(), engine="arrays")
    for _ in range(3):
        compiled.run(x, thresholds)
    assert len(looked_at) == 1

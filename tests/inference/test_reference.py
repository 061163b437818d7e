"""Early-exit inference: the paper's algorithm, for one sample and for batches."""

import contextlib
import math

import chainer
import chainer.links as L
import numpy as np
import pytest
from tiny import N_CLASSES, SHAPE, mixed_thresholds, tiny_batch, tiny_net

from branchynet import Branch, BranchyNet, run
from branchynet.confidence import entropy
from branchynet.errors import NetworkError
from branchynet.inference import record_exits
from branchynet.inference.reference import LARGEST, check_finite
from branchynet.machine.devices import to_host

ABOVE = np.nextafter(np.float32(LARGEST), np.float32(np.inf))


def naive_inference(net, x, thresholds):
    """All exits of one sample after another, then the rule: what leaving early must not change."""
    with chainer.using_config("train", False):
        for sample in x:
            logits = [to_host(z.array)[0] for z in net(net.device.send(sample[None]))]
            for exit_index, z in enumerate(logits):
                confidence = float(entropy(z[None])[0])
                if exit_index == len(logits) - 1 or confidence < thresholds[exit_index]:
                    yield int(z.argmax()), exit_index, confidence, z
                    break


@pytest.mark.parametrize("n_samples", [1, 2, 30])
@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_answers_are_those_of_the_papers_loop_in_input_order(net, n_samples, batch_size):
    thresholds = mixed_thresholds(net, tiny_batch(30)[0])
    x, _ = tiny_batch(n_samples)
    answers = run(net, x, thresholds, batch_size)
    expected = list(naive_inference(net, x, thresholds))
    assert to_host(answers.labels).tolist() == [label for label, *_ in expected]
    assert to_host(answers.exits).tolist() == [exit_index for _, exit_index, *_ in expected]
    np.testing.assert_allclose(to_host(answers.scores), [e for _, _, e, _ in expected], atol=1e-5)
    np.testing.assert_allclose(to_host(answers.logits), [z for *_, z in expected], atol=1e-5)


def test_answers_have_the_documented_types(net):
    answers = run(net, tiny_batch(5)[0], 1.0)
    arrays = [answers.labels, answers.exits, answers.scores, answers.logits]
    assert [array.dtype for array in arrays] == [np.int32, np.int32, np.float32, np.float32]
    assert [array.shape for array in arrays] == [(5,), (5,), (5,), (5, N_CLASSES)]
    assert all(isinstance(array, net.xp.ndarray) for array in arrays)


def test_nothing_above_an_exit_is_computed_for_a_sample_that_left_there():
    net = tiny_net()
    seen = []
    net.trunk[1].layers = (lambda x: seen.append(len(x)) or x, *net.trunk[1].layers)
    x, _ = tiny_batch(30)
    threshold = float(np.median(record_exits(net, x, np.zeros(30, np.int32)).scores[0]))
    seen.clear()
    exits = run(net, x, [threshold, 0.0]).exits
    assert seen == [(exits > 0).sum()]
    seen.clear()
    run(net, x, math.inf)
    assert seen == []


def test_an_empty_batch_has_no_answers(net):
    answers = run(net, np.empty((0, *SHAPE), np.float32), 0.5)
    assert len(answers.labels) == len(answers.exits) == len(answers.scores) == 0
    assert answers.logits.shape == (0, N_CLASSES)


def test_a_non_contiguous_batch_gives_the_same_answers(net):
    x, _ = tiny_batch(12)
    np.testing.assert_array_equal(to_host(run(net, x[::2], 1.0).logits), to_host(run(net, x[::2].copy(), 1.0).logits))


def test_recorded_exits_agree_with_inference(net):
    x, labels = tiny_batch(30)
    thresholds = mixed_thresholds(net, x)
    records = record_exits(net, x, labels, batch_size=7)
    answers = run(net, x, thresholds)
    assert set(to_host(answers.exits)) == {0, 1, 2}
    outcome = records.evaluate([thresholds])
    assert outcome.accuracies[0] == (to_host(answers.labels) == labels).mean()
    assert outcome.n_leaving[0].tolist() == np.bincount(to_host(answers.exits), minlength=3).tolist()
    np.testing.assert_array_equal(records.exits_at(thresholds), to_host(answers.exits))


def test_inference_leaves_dropout_out_and_the_configuration_alone(net):
    x, _ = tiny_batch()
    with chainer.using_config("train", True):
        first, second = run(net, x, 0.0), run(net, x, 0.0)
        assert chainer.config.train
    np.testing.assert_array_equal(to_host(first.logits), to_host(second.logits))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, *SHAPE)), r"expected a float32 batch .*, got float64 of shape \(2, 1, 6, 6\)"),
        (np.zeros((2, *SHAPE), np.uint8), "got uint8"),
        (np.zeros(6, np.float32), "got float32 of shape"),
        ([[1.0]], "got list"),
    ],
)
def test_an_input_of_another_form_is_refused(x, message):
    with pytest.raises(NetworkError, match=message):
        run(tiny_net(), x, 0.5)


def test_a_net_whose_shapes_are_open_takes_those_of_the_first_samples():
    net = BranchyNet([Branch([L.Linear(None, N_CLASSES)])])
    assert run(net, tiny_batch(2)[0], 0.5).logits.shape == (2, N_CLASSES) and net.sample_shape == SHAPE
    with pytest.raises(NetworkError, match=r"expected samples of shape \(1, 6, 6\), got \(1, 6, 7\)"):
        run(net, np.zeros((2, 1, 6, 7), np.float32), 0.5)


@pytest.mark.parametrize("n_large", [1, 12 * 36], ids=["one number", "all"])
@pytest.mark.parametrize(("size", "is_taken"), [(9.9e17, True), (1e18, True), (ABOVE, False), (5e18, False)])
def test_numbers_are_taken_up_to_the_largest_whatever_the_sum_of_their_squares(size, is_taken, n_large):
    x = np.zeros((12, *SHAPE), np.float32)
    x.flat[-n_large:] = size
    refused = contextlib.nullcontext() if is_taken else pytest.raises(NetworkError, match=r"numbers of at most 1e\+18")
    with refused:
        check_finite(np, x)

"""Answers of the fast paths held against the reference path."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import SHAPE, tiny_batch, tiny_net

from branchynet import run
from branchynet.bench.agreement import EDGE, agreement, check_answers
from branchynet.confidence import as_measure
from branchynet.errors import NetworkError
from branchynet.inference import compile_net, record_exits
from branchynet.machine.devices import to_host


def compiled_for(net):
    return compile_net(net, engine="arrays", device=net.device.name)


def test_an_answer_on_the_edge_of_a_threshold_may_differ(net):
    x, labels = tiny_batch(5)
    on_the_edge = [float(record_exits(net, x, labels).scores[0, 0]), 0.0]
    answers = run(net, x, on_the_edge)
    labels, exits = to_host(answers.labels), to_host(answers.exits).copy()
    assert check_answers(net, x, on_the_edge, labels, exits).tolist() == []
    exits[0] = 0 if exits[0] else 2
    assert check_answers(net, x, on_the_edge, labels, exits).tolist() == [0]
    exits[1] = 0 if exits[1] else 2
    with pytest.raises(RuntimeError, match="1 of 5 answers"):
        check_answers(net, x, on_the_edge, labels, exits)


@pytest.mark.parametrize("early_exit", [0, 1])
@pytest.mark.parametrize(("off", "n_on_the_edge"), [(0.95, 1), (1.05, None)])
def test_an_edge_is_as_wide_as_it_says(net, early_exit, off, n_on_the_edge):
    """Scores are a little above 1 here, so that what is relative to the score is what it is."""
    x, labels = tiny_batch(5)
    scores = to_host(record_exits(net, x, labels).scores[early_exit])
    highest = int(scores.argmax())
    assert 1.03 < scores[highest] < 1.1
    thresholds = [0.0, 0.0]
    thresholds[early_exit] = float(scores[highest]) * (1 + off * EDGE)
    answers = run(net, x, thresholds)
    labels, exits = to_host(answers.labels), to_host(answers.exits).copy()
    assert exits[highest] == early_exit
    exits[highest] = 2
    if_wrong = contextlib.nullcontext() if n_on_the_edge else pytest.raises(RuntimeError, match="1 of 5 answers")
    with if_wrong:
        assert len(check_answers(net, x, thresholds, labels, exits)) == n_on_the_edge


@pytest.mark.parametrize("thresholds", [0.0, 1.05, 5.0])
def test_a_compiled_network_agrees_on_all_samples_whatever_the_batch_size(net, thresholds):
    found = agreement(net, compiled_for(net), tiny_batch(23)[0], thresholds, batch_sizes=(1, 10))
    assert found["n_samples"] == 23 and found["n_on_the_edge"] == 0
    assert 0 <= found["largest_logit_difference"] < 1e-4


def test_the_logits_of_an_answer_on_the_edge_are_those_of_another_exit_and_not_compared(net):
    x, labels = tiny_batch(5)
    thresholds = [float(record_exits(net, x, labels).scores[0, 4]), 0.0]
    answers = run(net, x, thresholds)
    labels, exits, multiply_adds, logits = (np.array(to_host(part)) for part in answers)
    exits[4], logits[4] = 0, logits[4] + 1
    differing = SimpleNamespace(measure=as_measure("entropy"), run=lambda *call: (labels, exits, multiply_adds, logits))
    found = agreement(net, differing, x, thresholds, batch_sizes=(5,))
    assert found["n_on_the_edge"] == 1 and found["largest_logit_difference"] < 1e-4


def test_samples_are_compared_one_at_a_time_and_many_at_a_time(net):
    compiled, sizes = compiled_for(net), []

    def noting(x, thresholds):
        sizes.append(len(x))
        return compiled.run(x, thresholds)

    agreement(net, SimpleNamespace(measure=compiled.measure, run=noting), tiny_batch(23)[0], 0.0)
    assert sizes == [1] * 23 + [23]


def test_another_network_is_found_out(net):
    with pytest.raises(RuntimeError, match="differ"):
        agreement(net, compile_net(tiny_net(seed=1), SHAPE, engine="arrays"), tiny_batch(23)[0], 1.0)


@pytest.mark.parametrize(
    ("change", "error", "message"), [(0.01, RuntimeError, "logits: expected"), (np.nan, NetworkError, "finite logits")]
)
def test_logits_that_are_off_are_found_out(net, change, error, message):
    """The same exits (T = 0), other logits."""
    compiled = compiled_for(net)
    net.exits[-1].layers[-1].b.array += np.float32(change)
    with pytest.raises(error, match=message):
        agreement(net, compiled, tiny_batch(23)[0], 0.0)

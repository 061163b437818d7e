"""What only a GPU can show of the engines on one: which GPU computes, whose memory is whose, and how the host waits."""

from concurrent.futures import ThreadPoolExecutor

import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import assert_same_answers, tiny_batch, tiny_net

from branchynet import FL, Branch, BranchyNet, run
from branchynet.inference import compile_net
from branchynet.machine.devices import get_device, gpu_problem

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(gpu_problem() is not None, reason=str(gpu_problem()))]


@pytest.mark.parametrize("name", ["cuda", "arrays"])
def test_a_net_computes_on_its_own_gpu_whichever_is_current(name):
    first = get_device("gpu:0")
    if first.xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU is here, two are needed")
    first.use()
    net, (x, _) = tiny_net(), tiny_batch(6)
    compiled = compile_net(net, engine=name, device="gpu:1")
    for n_samples in (1, 6):
        assert_same_answers(compiled.run(x[:n_samples], 0.9), run(net, x[:n_samples], 0.9))
        for samples in (get_device(f"gpu:{number}").send(x[:n_samples]) for number in (0, 1)):
            answers = compiled.run(samples, 0.9)
            assert_same_answers(answers, run(net, x[:n_samples], 0.9))
            assert {array.device.id for array in answers} == {1}
        with ThreadPoolExecutor(1) as pool:  # another thread has another current device
            assert_same_answers(pool.submit(compiled.run, x[:n_samples], 0.9).result(), run(net, x[:n_samples], 0.9))
    assert first.xp.cuda.runtime.getDevice() == 0


@pytest.mark.usefixtures("every_net_is_large")
def test_one_sample_keeps_its_memory_when_a_batch_wants_more():
    """The graph for one sample holds addresses: what was there must not be given to others."""
    net, (x, _) = tiny_net(), tiny_batch(6)
    compiled, xp = compile_net(net, engine="cuda", device="gpu"), get_device("gpu").xp
    assert_same_answers(compiled.run(x[:1], 0.0), run(net, x[:1], 0.0))
    assert_same_answers(compiled.run(x, 0.0), run(net, x, 0.0))
    of_others = [xp.ones(n_floats, np.float32) for n_floats in range(16, 400, 16)]  # every size that may be free now
    xp.cuda.Device().synchronize()
    assert_same_answers(compiled.run(x[1:2], 0.0), run(net, x[1:2], 0.0))
    assert all((array == 1).all() for array in of_others)


@pytest.mark.usefixtures("is_large")
def test_kernels_that_cannot_be_captured_answer_all_the_same(monkeypatch):
    """And the host, which does not look for the answer of one sample long, waits for it."""

    def cannot(xp, calls):
        raise RuntimeError("cannot be captured")

    monkeypatch.setattr("branchynet.machine.cuda_graph.CapturedCalls", cannot)
    monkeypatch.setattr("branchynet.inference.engines.cuda._N_LOOKS", 0)
    net, (x, _) = tiny_net(), tiny_batch(6)
    with pytest.warns(UserWarning, match="launched one by one"):
        compiled = compile_net(net, engine="cuda", device="gpu")
        answers = compiled.run(x, 0.9)
    assert_same_answers(answers, run(net, x, 0.9))
    for i in range(6):
        assert_same_answers(compiled.run(x[i : i + 1], 0.9), run(net, x[i : i + 1], 0.9))


@pytest.mark.usefixtures("is_large")
def test_batches_that_grow_and_shrink():
    """The layers of a large network are a graph that holds addresses; a batch too large for it needs another."""
    net, (x, _) = tiny_net(), tiny_batch(40)
    compiled, on_gpu = compile_net(net, engine="cuda", device="gpu"), get_device("gpu").send(x)
    for n_samples, threshold in ((3, 0.9), (2, 0.5), (40, 0.9), (3, 0.7), (1, 0.9), (17, 0.9)):
        expected = run(net, x[-n_samples:], threshold)
        assert_same_answers(compiled.run(x[-n_samples:], threshold), expected)
        assert_same_answers(compiled.run(on_gpu[-n_samples:], threshold), expected)


@pytest.mark.usefixtures("every_net_is_large")
def test_several_threads_whose_batches_grow(monkeypatch):
    """Each captures graphs of its own while the others answer."""
    monkeypatch.setattr("branchynet.inference.engines.cuda._STEP", 1)
    net, (x, _) = tiny_net(), tiny_batch(8)
    compiled = compile_net(net, engine="cuda", device="gpu")
    expected = {n: run(net, x[:n], 0.9) for n in range(1, 9)}
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda number: compiled.run(x[: 1 + number % 8], 0.9), range(64))
        for number, found in enumerate(answers):
            assert_same_answers(found, expected[1 + number % 8])


@pytest.mark.usefixtures("every_net_is_large")
def test_a_batch_that_is_interrupted_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr("branchynet.inference.engines.cuda._STEP", 1)
    net, (x, _) = tiny_net(), tiny_batch(8)
    compiled = compile_net(net, engine="cuda", device="gpu")
    assert_same_answers(compiled.run(x[:2], 0.9), run(net, x[:2], 0.9))

    def interrupted(xp, calls):
        raise KeyboardInterrupt

    with monkeypatch.context() as during, pytest.raises(KeyboardInterrupt):
        during.setattr("branchynet.inference.engines.cuda.captured", interrupted)
        compiled.run(x, 0.9)
    for n_samples in (1, 2, 8):
        assert_same_answers(compiled.run(x[:n_samples], 0.9), run(net, x[:n_samples], 0.9))


@pytest.mark.usefixtures("every_net_is_large")
def test_a_batch_with_too_many_numbers_for_the_kernels_is_taken_in_parts(monkeypatch):
    net, (x, _) = tiny_net(), tiny_batch(8)
    monkeypatch.setattr("branchynet.inference.engines.cuda._MOST_NUMBERS", 1)  # a sample at a time
    compiled = compile_net(net, engine="cuda", device="gpu")
    for samples in (x, get_device("gpu").send(x)):
        assert_same_answers(compiled.run(samples, 0.9), run(net, x, 0.9))


@pytest.mark.parametrize("n_numbers", [4, 5, 6])
def test_a_sample_among_others_begins_anywhere(rng, n_numbers):
    net = BranchyNet([L.Linear(n_numbers, 8), Branch([L.Linear(8, 3)]), FL(F.relu), Branch([L.Linear(8, 3)])])
    x = rng.normal(size=(7, n_numbers)).astype(np.float32)
    compiled = compile_net(net, engine="cuda", device="gpu", sample_shape=x.shape[1:])
    assert_same_answers(compiled.run(get_device("gpu").send(x)[1:], 0.9), run(net, x[1:], 0.9))


@pytest.mark.usefixtures("is_large")
def test_many_samples_of_the_host_are_sent_in_parts(monkeypatch):
    for module in ("cuda.source", "engines.cuda"):
        monkeypatch.setattr(f"branchynet.inference.{module}.MOST_SAMPLES", 7)
    net, (x, _) = tiny_net(), tiny_batch(40)
    compiled = compile_net(net, engine="cuda", device="gpu")
    for samples in (x, x[::-1], x[:8], np.repeat(x, 3, axis=0)):
        assert_same_answers(compiled.run(samples, 0.9), run(net, samples, 0.9))

"""A compiled net among threads, forks and copies, and how its memory grows: not at all."""

import copy
import gc
import math
import os
import pickle
import select
import signal
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny import assert_same_answers, tiny_batch, tiny_net

from branchynet import run
from branchynet.errors import CompileError
from branchynet.inference import compile_net
from branchynet.machine.devices import to_host


def is_same(ours, theirs):
    try:
        assert_same_answers(ours, theirs)
    except AssertionError:
        return False
    return True


def test_several_threads_may_call_one_compiled_net_at_a_time(engine):
    """Each thread asks for other samples and other thresholds; one wrong buffer shows as a wrong logit. Of all calls
    none may answer wrongly; BRANCHYNET_N_CALLS says how many there are (`make threads`: 100,000)."""
    net, n_rounds = tiny_net(), math.ceil(int(os.environ.get("BRANCHYNET_N_CALLS", 648)) / (8 * 81))
    x, _ = tiny_batch(40)
    compiled = compile_net(net, **engine)
    expected = {T: [run(net, x[i : i + 1], T) for i in range(40)] for T in (0.0, 0.9)}
    whole = {T: run(net, x, T) for T in expected}

    def ask(number):
        threshold, order = (0.0, 0.9)[number % 2], np.random.default_rng(number).permutation(40)
        n_wrong = 0
        for _ in range(n_rounds):
            for i in (*order, *order):
                n_wrong += not is_same(compiled.run(x[i : i + 1], threshold), expected[threshold][i])
            n_wrong += not is_same(compiled.run(x, threshold), whole[threshold])
        return n_wrong

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [0] * 8


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_compiled_net_is_not_copied_or_pickled(engine, act):
    with pytest.raises(CompileError, match="cannot be copied or pickled"):
        act(compile_net(tiny_net(), **engine))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_fork_answers_alike_or_says_that_it_does_not(engine):
    net, (x, _) = tiny_net(), tiny_batch(40)
    compiled = compile_net(net, threads=2, **engine)
    expected = to_host(compiled.run(x, 0.9).labels).tolist()

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # the child says what it answers, and ends without pytest's own end
        try:
            text = str(to_host(compiled.run(x, 0.9).labels).tolist())
        except Exception as error:  # whatever it is, it must not go on as a second pytest
            text = str(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        ready, _, _ = select.select([reading], [], [], 60)
        found = answer.read() if ready else "nothing for a minute"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    refused = f"engine {compiled.engine}: expected the process that compiled the net, got a fork of it"
    outlives = compiled.engine in ("native", "arrays") and compiled.device.xp is np
    assert found == (str(expected) if outlives else refused)


@pytest.mark.parametrize("n_samples", [1, 20])
def test_run_allocates_nothing_that_grows_with_the_number_of_calls(n_samples):
    compiled = compile_net(tiny_net(), engine="arrays")
    x, _ = tiny_batch(n_samples)

    def bytes_after(n_calls):
        for _ in range(n_calls):
            compiled.run(x, 1.0)
        gc.collect()  # empties the interpreter's free lists too
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        few = bytes_after(300)  # what is made once has been made
        assert bytes_after(300) - few < 1_000
    finally:
        tracemalloc.stop()

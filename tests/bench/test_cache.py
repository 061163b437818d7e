"""The model of cache use against a naive cache of lines, and counters that are there or not."""

import os
import struct
from types import SimpleNamespace

import chainer.links as L
import numpy as np
import pytest
from tiny import SHAPE, tiny_net

from branchynet import Branch, BranchyNet
from branchynet.bench import cache
from branchynet.inference.plan import make_plan
from branchynet.links import ResBlock


@pytest.fixture
def plan():
    """Of the tiny network with two early exits."""
    return make_plan(tiny_net())


def naive_misses(plan, exits, n_lines):
    """A cache of lines, each touched one after another, the least recently used dropped."""
    held, missed = [], 0
    for number, exit_index in enumerate(exits):
        for name, size in cache._buffers(plan, exit_index):
            name = (name, number) if name == "sample" else name
            for line in range(-(-size // 64)):
                if (name, line) in held:
                    held.remove((name, line))
                else:
                    missed += 1
                    held = held[-(n_lines - 1) :] if len(held) >= n_lines else held
                held.append((name, line))
    return missed / len(exits)


@pytest.mark.parametrize("n_lines", [8, 20, 40, 60, 1000])
def test_the_model_is_a_cache_that_drops_what_was_used_least_recently(plan, n_lines, monkeypatch):
    buffers = cache._buffers
    rounded = {e: [(name, -(-size // 64) * 64) for name, size in buffers(plan, e)] for e in range(3)}
    monkeypatch.setattr(cache, "_buffers", lambda plan, exit_index: rounded[exit_index])
    exits = np.random.default_rng(0).integers(0, 3, 40)
    assert cache.modelled_misses(plan, exits, 64 * n_lines) == naive_misses(plan, exits, n_lines)


def test_a_sample_touches_input_weights_and_result_of_every_operation_up_to_its_exit(plan):
    first, last = cache._buffers(plan, 0), cache._buffers(plan, 2)
    kernels, classifier = 4 * (2 * 9 + 2), 4 * (72 * 3 + 3)
    assert [size for _, size in first] == [4 * 36, kernels, 4 * 72, 4 * 72, classifier, 4 * 3]
    assert [name for name, _ in last[:3]] == [name for name, _ in first[:3]] and len(last) > len(first)


def test_a_residual_block_touches_its_body_then_its_input_again_and_its_result():
    net = BranchyNet([ResBlock(1, 2), Branch([L.Linear(None, 3)])], SHAPE)
    touched = cache._buffers(make_plan(net), 0)
    names = [name for name, _ in touched]
    assert names.count("sample") >= 2 and names[0] == "sample", "the body reads it, and the shortcut"
    end = len(names) - 1 - names[::-1].index("sample")
    assert touched[end + 1] == ("0 trunk 0", 4 * 72), "what is added up is written"
    assert any(name.startswith("0 trunk 0 ") for name in names[:end]), "after the body"


def test_an_operation_with_weights_is_counted_where_it_keeps_the_shape():
    net = BranchyNet([L.Convolution2D(1, 1, 3, pad=1), Branch([L.Linear(None, 3)])], SHAPE)
    assert [size for _, size in cache._buffers(make_plan(net), 0)][:3] == [4 * 36, 4 * (9 + 1), 4 * 36]


def test_a_line_has_64_bytes(plan, monkeypatch):
    monkeypatch.setattr(cache, "_buffers", lambda plan, exit_index: [("sample", 6400)])
    assert cache.modelled_misses(plan, [0], 1 << 20) == 100


def test_in_a_cache_that_holds_all_each_sample_alone_is_missed_after_the_first(plan):
    once = cache.modelled_misses(plan, np.full(1, 2), 1 << 30)
    often = cache.modelled_misses(plan, np.full(101, 2), 1 << 30)
    sample_lines = -(-4 * 36 // cache.LINE_BYTES)
    assert 101 * often == pytest.approx(once + 100 * sample_lines)


def test_later_exits_miss_more_and_larger_caches_less(plan):
    misses = [[cache.modelled_misses(plan, np.full(9, e), size) for size in (128, 1024, 4096)] for e in range(3)]
    assert np.all(np.diff(misses, axis=0) >= 0) and np.all(np.diff(misses, axis=1) <= 0)


def test_counters_count_what_runs_between_two_readings_or_are_not_there():
    large, answered = np.zeros(1 << 22, np.uint8), []
    counted = cache.count_misses(lambda sample: answered.append(large[::64].sum()), range(3))
    assert len(answered) == 3
    assert all(count > 0 for count in counted.values())


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 298), ("aarch64", 241)])
def test_linux_is_asked_for_the_misses_of_two_levels_in_this_thread_without_the_systems_own(
    machine, number, monkeypatch
):
    """The arguments of perf_event_open(2), as <linux/perf_event.h> has them."""
    asked = []

    def syscall(number, attribute, *arguments):
        kind, size, config, period, sample_type, read_format, flags = struct.unpack_from("IIQQQQQ", attribute)
        assert len(attribute) == size == 64, "PERF_ATTR_SIZE_VER0"
        assert (period, sample_type, read_format) == (0, 0, 0), "counted, not sampled; one number"
        asked.append((number, kind, config, flags, *(getattr(argument, "value", argument) for argument in arguments)))
        return 1 - len(asked)  # the first file is 0, the second cannot be had

    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(syscall=syscall))
    monkeypatch.setattr(os, "close", lambda file: None)
    with cache.counters() as read:
        monkeypatch.setattr(os, "read", lambda file, n: struct.pack("Q", 70 + file)[:n])
        assert read() == {"last level": 70}
    hardware, cache_events = 0, 3
    cache_misses, level_1_data, reads, missed = 3, 0, 0, 1
    exclude_kernel, exclude_hypervisor = 0b100000, 0b1000000
    wanted = [(hardware, cache_misses), (cache_events, level_1_data | reads << 8 | missed << 16)]
    this_thread, any_core, no_group, no_flags = 0, -1, -1, 0
    rest = (exclude_kernel | exclude_hypervisor, this_thread, any_core, no_group, no_flags)
    assert asked == [(number, *event, *rest) for event in wanted]


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "x86_64"), ("Linux", "sparc")])
def test_other_systems_are_not_asked(system, machine, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.delattr("ctypes.CDLL")
    with cache.counters() as read:
        assert read() == {}


def test_counters_are_read_before_and_after_shared_among_the_samples_and_closed(monkeypatch):
    reading, writing = os.pipe()
    files = iter([reading, None])
    monkeypatch.setattr(cache, "_open_counter", lambda kind, config: next(files))
    os.write(writing, struct.pack("QQ", 1000, 1600))
    assert cache.count_misses(lambda sample: sample, range(3)) == {"last level": 200}
    with pytest.raises(OSError, match="Bad file"):
        os.read(reading, 8)
    os.close(writing)


def test_without_counters_nothing_is_counted(monkeypatch):
    monkeypatch.setattr(cache, "_open_counter", lambda kind, config: None)
    assert cache.count_misses(lambda sample: sample, range(3)) == {}

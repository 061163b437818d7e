"""What the arrays engine is made of: scratch memory, programs for so many samples, a product in a kernel of its own."""

import math
from types import SimpleNamespace

import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from tiny import assert_same_answers, mixed_thresholds, tiny_batch, tiny_net

from branchynet import FL, Branch, BranchyNet, run
from branchynet.inference import compile_net, operations
from branchynet.inference.engines.arrays import engine as arrays
from branchynet.inference.engines.arrays.product import matrix_product
from branchynet.inference.engines.arrays.programs import Program, Scratch
from branchynet.links import Convolution2D


def test_scratch_memory_is_shared_until_more_is_wanted_and_what_is_lent_stays_valid():
    scratch = Scratch(np)
    first = scratch.view((2, 3))
    assert np.shares_memory(first, scratch.view((3, 2))) and np.shares_memory(first, scratch.view((5,)))
    first[...] = 7
    larger = scratch.view((7,))
    larger[...] = 1
    assert scratch.n_bytes() == 28 and (first == 7).all() and first.dtype == larger.dtype == np.float32


def sizes_of_programs(compiled, index):
    return sorted(n_samples for segment, n_samples in compiled._workspace()._programs if segment == index)


@pytest.mark.parametrize(
    ("n_samples", "sizes"), [(1, [1]), (2, [1, 2]), (5, [1, 4]), (7, [1, 2, 4]), (32, [1, 32]), (77, [1, 4, 8, 32])]
)
def test_a_batch_is_cut_into_pieces_of_1_2_4_to_32_samples(n_samples, sizes):
    net, (x, _) = tiny_net(), tiny_batch(n_samples)
    compiled = compile_net(net, engine="arrays")
    assert_same_answers(compiled.run(x, 0.0), run(net, x, 0.0))
    assert [sizes_of_programs(compiled, index) for index in range(3)] == [sizes] * 3


@pytest.mark.parametrize(("room_for", "most"), [(0.5, 1), (1, 1), (1.99, 1), (2, 2), (7.9, 4), (8, 8), (1000, 32)])
def test_a_program_works_on_as_many_samples_as_the_cache_holds(room_for, most, monkeypatch):
    net, (x, _) = tiny_net(), tiny_batch(40)
    one = compile_net(net, engine="arrays")._workspace()
    sample_bytes = one._scratch.n_bytes() + one._program(0, 1).n_bytes()
    monkeypatch.setattr(arrays, "CACHE_BYTES", round(room_for * sample_bytes))
    compiled = compile_net(net, engine="arrays")
    thresholds = mixed_thresholds(net, x)
    assert_same_answers(compiled.run(x, thresholds), run(net, x, thresholds))
    assert sizes_of_programs(compiled, 0)[-1] == most


def test_on_a_gpu_a_program_works_on_a_power_of_two_up_to_1024_that_holds_what_is_left():
    on_gpu = SimpleNamespace(device=SimpleNamespace(xp=None))
    assert arrays._Workspace._most_samples(on_gpu, 0) == 1024
    assert [arrays._Workspace._program_size(on_gpu, n) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 4, 8, 1024]


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3), (1, 1, 2, 3)])
def test_a_sample_has_any_number_of_axes(rng, shape):
    net = BranchyNet([L.Linear(6, 4), FL(F.relu), Branch([L.Linear(4, 3)])])
    x = rng.normal(size=(5, *shape)).astype(np.float32)
    assert_same_answers(compile_net(net, shape, engine="arrays").run(x, ()), run(net, x, ()))


@pytest.mark.parametrize("width", [4, 5, 6])
def test_a_stride_may_lead_past_the_right_border(rng, width):
    net = BranchyNet([Convolution2D(1, 2, 3, stride=2, pad=1), Branch([L.Linear(None, 3)])])
    x = rng.normal(size=(3, 1, 4, width)).astype(np.float32)
    assert_same_answers(compile_net(net, x.shape[1:], engine="arrays").run(x, ()), run(net, x, ()))


@pytest.mark.parametrize(("ksize", "stride", "pad"), [(1, 2, 1), (2, 2, 4), (3, 1, 3), (3, 2, 1)])
def test_no_window_reaches_past_its_buffer(rng, ksize, stride, pad, monkeypatch):
    """Behind each buffer there is NaN."""

    def before_nan(program, shape, value=0):
        memory = np.full(math.prod(shape) + 100, np.nan, np.float32)
        memory[:-100] = value
        return memory[:-100].reshape(shape)

    monkeypatch.setattr(Program, "buffer", before_nan)
    net = BranchyNet([Convolution2D(1, 2, ksize, stride, pad), Branch([L.Linear(None, 3)])])
    x = rng.normal(size=(2, 1, 5, 5)).astype(np.float32)
    assert_same_answers(compile_net(net, x.shape[1:], engine="arrays").run(x, ()), run(net, x, ()))


def test_a_residual_block_with_an_empty_body_adds_its_input_to_itself(rng):
    x = rng.normal(size=(2, 3, 4, 4)).astype(np.float32)
    program = Program(np, [operations.Residual((), 1, 0)], x, Scratch(np), {}, np.matmul)
    for call in program.calls:
        call()
    np.testing.assert_array_equal(program.result, 2 * x)


def test_memory_is_that_of_weights_and_buffers():
    """By hand: 4 numbers go in, 3 logits come out of 12 weights and 3 biases."""
    net = BranchyNet([Branch([L.Linear(4, 3)])])
    compiled = compile_net(net, (4,), engine="arrays")
    assert compiled.n_bytes() == 4 * (12 + 3) + 4 * (4 + 3)
    compiled.run(np.zeros((2, 4), np.float32), ())
    assert compiled.n_bytes() == 4 * (12 + 3) + 4 * (4 + 3) + 2 * 4 * (4 + 3), "and of a program for two"


def test_what_an_exit_leaves_is_read_in_place_by_the_next_segment():
    workspace = compile_net(tiny_net(), engine="arrays")._workspace()
    for index in (1, 2):
        assert workspace._program(index, 1).source is workspace._program(index - 1, 1).trunk.result


class ArraysWithKernels:
    """NumPy, with the one kernel of CuPy's that the product is made of."""

    @staticmethod
    def ReductionKernel(inputs, output, map_expression, reduce_expression, *rest):
        """As of CuPy."""
        assert (map_expression, reduce_expression) == ("left * right", "a + b")
        return lambda left, right, out, axis: np.sum(left * right, axis=axis, out=out)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5)])
def test_a_product_by_a_kernel_is_the_matrix_product(rng, shape):
    left, right = (rng.normal(size=of).astype(np.float32) for of in ((2, 4), shape))
    out = np.empty((*shape[:-2], 2, 5), np.float32)
    matrix_product(ArraysWithKernels, left, right, out)
    np.testing.assert_allclose(out, left @ right, rtol=1e-5, atol=1e-6)

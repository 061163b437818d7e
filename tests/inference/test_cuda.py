"""The kernels of the cuda engine answer as the reference path: their source, compiled for the CPU and, where CUDA's
compiler is, for every GPU since Volta; and on a GPU, where one is."""

import os
import re

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from cuda_on_cpu import COMPILER, KernelsOnCpu
from nvrtc import ARCHITECTURES, NVRTC, compile_for
from tiny import (
    N_CLASSES,
    SHAPE,
    assert_same_answers,
    drawn_net,
    mixed_thresholds,
    tiny_batch,
    tiny_measure,
    tiny_net,
    with_statistics,
)

import networks
from branchynet import FL, Branch, BranchyNet, datasets, run
from branchynet.confidence import ENTROPY, MEASURES
from branchynet.datasets.transforms import Normalise
from branchynet.errors import CompileError
from branchynet.inference import compile_net
from branchynet.inference import operations as ops
from branchynet.inference.compiled import with_transform
from branchynet.inference.cuda.program import Program
from branchynet.inference.cuda.source import fits_block, whole_source
from branchynet.inference.plan import Plan, Segment, make_plain_plan, make_plan
from branchynet.links import BatchNormalization, Convolution2D, ResBlock
from networks import zoo

# `make cuda-check` asks for a thousand.
N_IMAGES = int(os.environ.get("BRANCHYNET_N_IMAGES", "12"))
on_cpu = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
with_nvrtc = pytest.mark.skipif(NVRTC is None, reason="CUDA's compiler is not installed: make cuda-check")


def net_of_every_operation(x):
    """A net for x (N, 2, 9, 8) with all operations that the kernels know."""

    def build():
        return [
            Convolution2D(2, 5, (3, 2), stride=(1, 2), pad=(2, 1)),
            BatchNormalization(5),
            FL(F.relu),
            FL(F.local_response_normalization, 5, 2.0, 1e-2, 0.75),
            Branch([FL(F.relu), FL(F.average_pooling_2d, 3, 2, 1), L.Linear(None, 4)]),
            FL(F.max_pooling_2d, 3, 2, 1, True),
            FL(F.local_response_normalization, 3, 1.0, 1e-2, 0.5),
            ResBlock(5, 9, stride=2),
            FL(F.relu),
            Branch([BatchNormalization(9), L.Linear(None, 4)]),
            ResBlock(9, 9),
            L.Linear(None, 17),
            FL(F.relu),
            Branch([L.Linear(17, 4)]),
        ]

    return with_statistics(drawn_net(build, x.shape[1:]), x)


def released(name):
    """(a released network, test images, T at which they leave everywhere, the answers of the reference path)"""
    trained = networks.load(name)
    images = datasets.load(zoo.NETWORKS[name].dataset).test.images[:N_IMAGES]
    x = trained.transform(images)
    thresholds = mixed_thresholds(trained.net, x)
    return trained, images, thresholds, run(trained.net, x, thresholds)


def rows_of(answers, rows):
    return type(answers)(*[array[rows] for array in answers])


@on_cpu
@pytest.mark.parametrize("name", zoo.released_names())
def test_released_networks_answer_as_the_reference_path(name):
    trained, images, thresholds, expected = released(name)
    x, kernels = trained.transform(images), KernelsOnCpu(make_plan(trained.net), ENTROPY)
    assert_same_answers(kernels.answers(x, thresholds), expected)
    assert_same_answers(kernels.answers(x[:3], thresholds, one=True, grid=2), rows_of(expected, slice(3)))


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", zoo.released_names())
def test_on_a_gpu_released_networks_answer_images_as_the_reference_path(name):
    trained, images, thresholds, expected = released(name)
    compiled = compile_net(trained.net, engine="cuda", device="gpu", transform=trained.transform)
    assert_same_answers(compiled.run(images, thresholds), expected)
    for one in (slice(i, i + 1) for i in range(3)):
        assert_same_answers(compiled.run(images[one], thresholds), rows_of(expected, one))


@on_cpu
@pytest.mark.parametrize(("grid", "threads"), [(1, 32), (2, 64), (5, 96)])
def test_every_operation_by_grids_of_every_form(rng, is_large, grid, threads):
    x = rng.normal(size=(9, 2, 9, 8)).astype(np.float32)
    net = net_of_every_operation(x)
    thresholds = mixed_thresholds(net, x)
    expected, kernels = run(net, x, thresholds), KernelsOnCpu(make_plan(net), ENTROPY)
    assert kernels.fits_block is not is_large
    assert set(expected.exits) == {0, 1, 2}
    for one in (False, True):
        assert_same_answers(kernels.answers(x, thresholds, one, grid, threads), expected)


@on_cpu
@pytest.mark.usefixtures("every_net_is_large")
@pytest.mark.parametrize("n_samples", [1, 2, 5])
def test_few_samples_are_shared_by_many_threads(rng, n_samples):
    x = rng.normal(size=(n_samples, 2, 9, 8)).astype(np.float32)
    net = net_of_every_operation(x)
    expected, kernels = run(net, x, 1.3), KernelsOnCpu(make_plan(net), ENTROPY)
    assert_same_answers(kernels.answers(x, (1.3, 1.3), grid=24, threads=128), expected)


@on_cpu
@pytest.mark.parametrize("n_numbers", [4, 5, 6])
def test_a_sample_among_others_need_not_begin_where_four_numbers_are_read_at_once(rng, n_numbers):
    net = BranchyNet([L.Linear(n_numbers, 8), Branch([L.Linear(8, 3)]), FL(F.relu), Branch([L.Linear(8, 3)])])
    x = rng.normal(size=(7, n_numbers)).astype(np.float32)
    kernels = KernelsOnCpu(make_plan(net, x.shape[1:]), ENTROPY)
    assert kernels.fits_block
    for grid in (1, 3):
        assert_same_answers(kernels.answers(x, (0.9,), one=True, grid=grid), run(net, x, 0.9))


@on_cpu
@pytest.mark.parametrize(
    ("kernel", "barrier", "is_large"),
    [
        ("classify", "__syncthreads();", False),
        ("classify_one", "__syncthreads();", False),
        ("classify_one", "grid_barrier(arrived, &all);", True),
    ],
    indirect=["is_large"],
)
def test_a_missing_barrier_shows(kernel, barrier, is_large):
    """The test of the tests: numbers that are read before they are there are NaN."""
    net = networks.load("lenet").net  # large enough for several warps
    x = np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)

    def without_one(source):
        """The barrier between the first two stages is gone."""
        before, body = source.split(f"KERNEL({kernel},")
        changed, n_changed = re.subn(rf"(, team\);\n +){re.escape(barrier)}", r"\1", body, count=1)
        assert n_changed == 1
        return f"{before}KERNEL({kernel},{changed}"

    kernels = KernelsOnCpu(make_plan(net), ENTROPY, change=without_one)
    with pytest.raises(ValueError, match="bad logits"):
        kernels.answers(x, (9.0,), one=kernel == "classify_one", grid=2)


@on_cpu
@pytest.mark.usefixtures("every_net_is_large")
def test_a_missing_barrier_between_warps_that_share_a_tile_shows():
    x, _ = tiny_batch(6)

    def without_one(source):
        changed, n_changed = re.subn(r"if \(WARPS > 1\) __syncthreads\(\);", "", source)
        assert n_changed == 1
        return changed

    kernels = KernelsOnCpu(make_plan(tiny_net(), SHAPE), ENTROPY, change=without_one)
    with pytest.raises(ValueError, match="bad logits"):
        kernels.answers(x, (9.0, 9.0), one=True)


@on_cpu
@pytest.mark.parametrize("name", ["calibrated-entropy", "max-probability", "margin", "energy"])
def test_scores_are_those_of_the_measure(name):
    net, (x, _), measure = tiny_net(), tiny_batch(8), tiny_measure(name)
    kernels = KernelsOnCpu(make_plan(net, SHAPE), measure)
    thresholds = [measure.lowest] * 2
    assert_same_answers(kernels.answers(x, thresholds), run(net, x, thresholds, measure=measure))


@on_cpu
@pytest.mark.usefixtures("is_large")
@pytest.mark.parametrize(
    "transform", [datasets.scale, Normalise((0.3, 0.55), (0.2, 0.07))], ids=lambda transform: transform.name
)
def test_pixels_become_samples_in_the_kernel_to_the_bit(rng, transform):
    images = rng.integers(0, 256, (9, 2, 9, 8)).astype(np.uint8)
    x = transform(images)
    net = net_of_every_operation(x)
    thresholds, plan = mixed_thresholds(net, x), make_plan(net)
    of_samples, of_pixels = KernelsOnCpu(plan, ENTROPY), KernelsOnCpu(with_transform(plan, transform), ENTROPY)
    for one in (False, True):
        expected = of_samples.answers(x, thresholds, one=one)
        for ours, theirs in zip(of_pixels.answers(images, thresholds, one=one), expected):
            np.testing.assert_array_equal(ours, theirs)
    assert_same_answers(expected, run(net, x, thresholds))


@on_cpu
def test_the_plain_network_has_no_score():
    net, (x, _) = tiny_net(), tiny_batch(4)
    answers = KernelsOnCpu(make_plain_plan(net, SHAPE), None).answers(x, ())
    with chainer.using_config("train", False):
        np.testing.assert_allclose(answers.logits, net.plain()(x).array, atol=1e-5)
    assert np.isnan(answers.scores).all()


@on_cpu
@pytest.mark.usefixtures("is_large")
def test_numbers_that_are_not_finite_are_told():
    net, (x, _) = tiny_net(), tiny_batch(3)
    kernels = KernelsOnCpu(make_plan(net, SHAPE), ENTROPY)
    for value in (np.nan, -np.inf, 2e18):
        bad = x.copy()
        bad[1, 0, 5, 5] = value
        for one in (False, True):
            with pytest.raises(ValueError, match="a bad sample"):
                kernels.answers(bad, (0.0, 0.0), one=one)
    assert len(kernels.answers(np.full_like(x, 9e17), (0.0, 0.0)).labels) == 3
    net.exits[1].layers[-1].W.array[0] = 3e38
    kernels = KernelsOnCpu(make_plan(net, SHAPE), ENTROPY)
    for one in (False, True):
        with pytest.raises(ValueError, match="bad logits"):
            kernels.answers(100 * abs(x), (0.0, 0.0), one=one)


@on_cpu
@pytest.mark.usefixtures("is_large")
def test_a_score_that_is_nan_is_told_with_its_exit():
    net, (x, _) = tiny_net(), tiny_batch(3)
    net.exits[1].layers[-1].W.array[...] = 0
    net.exits[1].layers[-1].b.array[...] = 3e38, -3e38, 0
    kernels = KernelsOnCpu(make_plan(net, SHAPE), ENTROPY)
    for one in (False, True):
        assert set(kernels.answers(x, (9.0, 0.0), one=one).exits) == {0}, "nobody comes there"
        with pytest.raises(ValueError, match="a bad score at exit 2"):
            kernels.answers(x, (0.0, 0.0), one=one)


def test_numbers_that_are_not_read_any_more_make_room():
    program = Program(make_plan(networks.load("lenet").net))
    assert 4 * program.n_floats < 32 * 1024, "seven blocks fit the shared memory of a multiprocessor of 228 KB"
    assert fits_block(program)


@pytest.mark.parametrize("name", ["alexnet-paper", "alexnet-authors", "resnet-20"])
def test_a_large_network_does_not_fit_a_block(name):
    assert not fits_block(Program(make_plan(networks.load(name).net)))


def test_a_measure_that_the_kernels_do_not_know_is_named():
    with pytest.raises(CompileError, match="the cuda engine knows .* not patience"):
        whole_source(Program(make_plan(tiny_net(), SHAPE)), MEASURES.get("patience")())


@pytest.mark.parametrize("body", [(), (ops.Relu(),)])
def test_a_residual_block_that_the_kernels_do_not_know_is_left_to_other_engines(body):
    plan = Plan((Segment((ops.Residual(body, 1, 0),), (), SHAPE, SHAPE),), N_CLASSES)
    with pytest.raises(CompileError, match="expected a residual block that ends in a Convolution, got "):
        Program(plan)


@with_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", zoo.released_names())
def test_the_source_compiles_for_every_gpu_since_volta(name, architecture):
    trained = networks.load(name)
    plan = make_plan(trained.net)
    for of_samples_or_images in (plan, with_transform(plan, trained.transform)):
        assert compile_for(architecture, whole_source(Program(of_samples_or_images), ENTROPY)) == ""

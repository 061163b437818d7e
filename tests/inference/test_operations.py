"""Operations by themselves: shapes, multiply-adds, what stands behind what, and the memory that arrays of them take."""

import dataclasses

import numpy as np
import pytest

from branchynet.inference.engines.arrays.programs import Program, Scratch
from branchynet.inference.operations import (
    AveragePooling,
    Convolution,
    Linear,
    LocalResponseNormalization,
    MaxPooling,
    Relu,
    Residual,
    Scale,
    count_multiply_adds,
    exchange,
    fuse_relu,
    neighbour_band,
    shape_after,
)
from branchynet.inference.plan import Plan, Segment

CONVOLUTION = Convolution(np.ones((2, 1, 3, 3), np.float32), np.zeros(2, np.float32), (1, 1), (1, 1))
STRIDED = dataclasses.replace(CONVOLUTION, stride=(2, 2))
LINEAR = Linear(np.ones((3, 72), np.float32), np.zeros(3, np.float32))
SCALE = Scale(np.ones(1, np.float32), np.zeros(1, np.float32))
MAXIMUM, AVERAGE = MaxPooling((3, 3), (2, 2), (0, 0), True), AveragePooling((2, 2), (2, 2), (0, 0), False)
NORMALISATION = LocalResponseNormalization(5, 2.0, 1e-4, 0.75)
RESIDUAL = Residual((CONVOLUTION,), 1, 1)
OPERATIONS = [CONVOLUTION, LINEAR, SCALE, MAXIMUM, AVERAGE, NORMALISATION, RESIDUAL, Relu()]


@pytest.mark.parametrize("value", [*OPERATIONS, Segment((), (), (1,), (1,)), Plan((), 3)])
def test_what_a_plan_is_made_of_stays_what_it_was_made(value):
    (name, *_) = [field.name for field in dataclasses.fields(value)] or ["anything"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


@pytest.mark.parametrize("operation", [CONVOLUTION, LINEAR, SCALE, RESIDUAL])
def test_operations_with_weights_are_equal_to_themselves_alone(operation):
    assert operation == operation and operation != dataclasses.replace(operation) and hash(operation)


def test_settings_make_operations_without_weights_equal():
    assert Relu() == Relu() and MAXIMUM == dataclasses.replace(MAXIMUM) != dataclasses.replace(MAXIMUM, pad=(1, 1))
    assert len({Relu(), Relu(), AVERAGE, dataclasses.replace(AVERAGE), NORMALISATION}) == 3


@pytest.mark.parametrize(
    ("operation", "shape", "multiply_adds"),
    [
        (CONVOLUTION, (2, 6, 6), 9 * 2 * 36),
        (STRIDED, (2, 3, 3), 9 * 2 * 9),
        (dataclasses.replace(CONVOLUTION, W=CONVOLUTION.W[:1]), (1, 6, 6), 9 * 36),
        (LINEAR, (3,), 3 * 72),
        (SCALE, (1, 6, 6), 36),
        (MAXIMUM, (1, 3, 3), 0),
        (AVERAGE, (1, 3, 3), 0),
        (NORMALISATION, (1, 6, 6), 0),
        (RESIDUAL, (2, 6, 6), 9 * 2 * 36),
        (Relu(), (1, 6, 6), 0),
    ],
)
def test_shapes_and_multiply_adds_are_those_of_one_sample(operation, shape, multiply_adds):
    assert operation.out_shape((1, 6, 6)) == shape == shape_after([operation], (1, 6, 6))
    assert operation.multiply_adds((1, 6, 6)) == multiply_adds
    assert count_multiply_adds([operation, operation][:1], (1, 6, 6)) == multiply_adds
    assert count_multiply_adds([CONVOLUTION, LINEAR], (1, 6, 6)) == 9 * 2 * 36 + 3 * 72


def test_neighbours_are_as_many_channels_on_both_sides():
    band = [[2, 2, 0, 0], [2, 2, 2, 0], [0, 2, 2, 2], [0, 0, 2, 2]]
    assert neighbour_band(4, 3, 2.0).tolist() == band == neighbour_band(4, 2, 2.0).tolist()
    assert neighbour_band(2, 1, 2.0).tolist() == [[2, 0], [0, 2]] and neighbour_band(2, 5, 1.0).all()


def test_two_kinds_are_exchanged_wherever_one_stands_behind_the_other():
    relu = Relu()
    assert exchange([relu, MAXIMUM], Relu, MaxPooling) == [MAXIMUM, relu]
    assert exchange([SCALE, relu, MAXIMUM, relu], Relu, MaxPooling) == [SCALE, MAXIMUM, relu, relu]
    assert exchange([relu, AVERAGE, MAXIMUM, relu], Relu, MaxPooling) == [relu, AVERAGE, MAXIMUM, relu]
    assert exchange((), Relu, MaxPooling) == []


def test_a_pooling_whose_windows_may_hold_nothing_but_padding_stays_on_its_side_of_relu():
    relu, missing = Relu(), MaxPooling((1, 1), (2, 2), (0, 0), True)
    assert exchange([missing, relu, MAXIMUM], MaxPooling, Relu) == [missing, relu, MAXIMUM]
    assert exchange([relu, missing], Relu, MaxPooling) == [relu, missing]
    assert exchange([missing, relu, MAXIMUM], Relu, MaxPooling) == [missing, MAXIMUM, relu]


@pytest.mark.parametrize("operation", [CONVOLUTION, LINEAR, SCALE, RESIDUAL])
def test_one_relu_is_computed_along_with_what_has_weights(operation):
    relu = Relu()
    assert fuse_relu([operation, relu, relu]) == [(operation, True), (relu, True)]
    assert fuse_relu([relu, operation, MAXIMUM, relu]) == [
        (relu, True),
        (operation, False),
        (MAXIMUM, False),
        (relu, True),
    ]


@pytest.mark.parametrize(
    ("operation", "n_numbers"),
    [
        # The padded image, its rows padded at the left only; columns of 9 weights and a bias; the products.
        (CONVOLUTION, 8 * 7 + 2 + 10 * 6 * 7 + 2 * 6 * 7),
        (STRIDED, 7 * 7 + 2 + 10 * 3 * 3 + 2 * 3 * 3),
        # The last row and column are in no window.
        (dataclasses.replace(CONVOLUTION, stride=(3, 3), pad=(0, 0)), 6 * 6 + 2 + 10 * 2 * 2 + 2 * 2 * 2),
        # Windows wider than high, and other steps down than along.
        (Convolution(np.ones((2, 1, 2, 4), np.float32), np.zeros(2, np.float32), (2, 1), (0, 0)), 39 + 9 * 9 + 2 * 9),
        (LINEAR, 3),
        (SCALE, 36),
        (Relu(), 36),
        (MAXIMUM, 3 * 6 + 3 * 3),
        (AVERAGE, 3 * 3),
        (NORMALISATION, 3 * 36),
    ],
)
def test_a_program_takes_the_memory_that_its_operation_needs(operation, n_numbers):
    source = np.zeros((1, 2, 6, 6) if operation is LINEAR else (1, 1, 6, 6), np.float32)
    assert Program(np, [operation], source, Scratch(np), {}, np.matmul).n_bytes() == 4 * n_numbers

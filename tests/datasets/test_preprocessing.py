"""Scaling and normalising against the naive formulas, and the round trip through a record."""

import json

import numpy as np
import pytest
from chainer.backends import cuda

from branchynet.datasets import Normaliser, preprocessing, scale
from branchynet.errors import DataError


def _images(n_images=7, n_channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n_images, n_channels, 4, 5), dtype=np.uint8)


def test_scale_divides_each_of_the_256_levels_by_255():
    levels = np.arange(256, dtype=np.uint8)
    scaled = scale(levels)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, levels.astype(np.float32) / np.float32(255))
    assert scaled.min() == 0 and scaled.max() == 1


def test_scale_leaves_its_argument_alone():
    images = _images()
    before = images.copy()
    scale(images)
    np.testing.assert_array_equal(images, before)


def test_scale_refuses_images_that_are_scaled_already():
    with pytest.raises(DataError, match="expected uint8 images, got float32"):
        scale(np.zeros(3, np.float32))


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("n_images, chunk", [(7, 1000), (7, 3), (6, 3), (1, 1)])
def test_fit_takes_mean_and_standard_deviation_of_each_channel(monkeypatch, n_channels, n_images, chunk):
    monkeypatch.setattr(preprocessing, "_CHUNK_IMAGES", chunk)
    images = _images(n_images, n_channels)
    normaliser = Normaliser.fit(images)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(normaliser.mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(normaliser.std, scaled.std(axis=(0, 2, 3)), rtol=1e-12)


def test_the_images_it_was_fitted_on_get_mean_0_and_standard_deviation_1():
    images = _images(50)
    normalised = Normaliser.fit(images)(images)
    assert normalised.dtype == np.float32 and normalised.shape == images.shape
    np.testing.assert_allclose(normalised.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(normalised.std(axis=(0, 2, 3)), 1, atol=1e-6)


def test_other_images_are_normalised_by_the_fitted_statistics():
    normaliser = Normaliser(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    white = np.full((1, 3, 1, 1), 255, np.uint8)
    assert normaliser(white).ravel().tolist() == [1.0, 3.0, 0.5]


def test_no_image_gives_no_image():
    assert Normaliser((0.5,), (0.5,))(np.zeros((0, 1, 2, 2), np.uint8)).shape == (0, 1, 2, 2)


def test_a_record_gives_the_same_normaliser_back():
    normaliser = Normaliser.fit(_images())
    assert Normaliser.from_dict(json.loads(json.dumps(normaliser.to_dict()))) == normaliser


@pytest.mark.parametrize(
    "record",
    [{}, {"mean": [0.5]}, {"mean": [0.5], "std": ["a"]}, {"mean": 0.5, "std": 0.5}, {"mean": [], "std": []}]
    + [{"mean": [0.5], "std": [bad]} for bad in (0.0, -1.0, float("nan"), float("inf"))]
    + [{"mean": [0.5, 0.5], "std": [1.0]}],
)
def test_a_record_that_is_none_is_an_error(record):
    with pytest.raises(DataError, match="normaliser: expected"):
        Normaliser.from_dict(record)


def test_a_channel_without_variation_cannot_be_normalised():
    with pytest.raises(DataError, match="positive stds"):
        Normaliser.fit(np.full((2, 1, 3, 3), 9, np.uint8))


@pytest.mark.parametrize(
    "images", [np.zeros((0, 1, 2, 2), np.uint8), np.zeros((2, 4), np.uint8), np.zeros((1, 1, 2, 2))]
)
def test_fit_wants_a_batch_of_uint8_images(images):
    with pytest.raises(DataError, match=r"expected uint8 \(N, C, H, W\)"):
        Normaliser.fit(images)


def test_images_with_another_number_of_channels_are_an_error():
    with pytest.raises(DataError, match=r"expected images \(N, 3, H, W\), got \(7, 1, 4, 5\)"):
        Normaliser.fit(_images())(_images(n_channels=1))


@pytest.mark.gpu
@pytest.mark.skipif(not cuda.available, reason="needs CuPy and a GPU")
def test_cupy_and_numpy_give_the_same():
    images = _images()
    normaliser = Normaliser.fit(images)
    on_gpu = cuda.to_gpu(images)
    assert Normaliser.fit(on_gpu) == normaliser
    np.testing.assert_allclose(cuda.to_cpu(normaliser(on_gpu)), normaliser(images), rtol=1e-6, atol=1e-6)

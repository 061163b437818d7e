"""Transforms against the naive formulas, what they learned and back again, and what they refuse."""

import numpy as np
import pytest

from branchynet.datasets import TRANSFORMS, scale, transform_from, transforms
from branchynet.datasets.transforms import Normalise, Scale, Whiten
from branchynet.errors import DataError
from branchynet.machine.devices import to_host


def make_images(n_images=7, n_channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n_images, n_channels, 4, 5), dtype=np.uint8)


@pytest.fixture
def smooth(rng):
    """Images whose neighbouring pixels are alike, as those of photographs are."""
    return (rng.integers(0, 200, (400, 3, 4, 1)) + rng.integers(0, 56, (400, 3, 4, 4))).astype(np.uint8)


def test_scale_divides_each_of_the_256_levels_by_255(device):
    levels = np.arange(256, dtype=np.uint8)
    scaled = to_host(scale(device.send(levels)))
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, levels.astype(np.float32) / np.float32(255))
    assert scaled.min() == 0 and scaled.max() == 1


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(("n_images", "chunk"), [(7, 1000), (7, 3), (6, 3), (1, 1)])
def test_fit_takes_mean_and_standard_deviation_of_each_channel(monkeypatch, device, n_channels, n_images, chunk):
    monkeypatch.setattr(transforms, "_CHUNK_IMAGES", chunk)
    images = make_images(n_images, n_channels)
    transform = Normalise.fit(device.send(images))
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(transform.mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(transform.std, scaled.std(axis=(0, 2, 3)), rtol=1e-12)
    assert transform == Normalise.fit(images), "the same on every device"


def test_the_images_it_was_fitted_to_get_mean_0_and_standard_deviation_1(device):
    images = device.send(make_images(50))
    normalised = to_host(Normalise.fit(images)(images))
    np.testing.assert_allclose(normalised.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(normalised.std(axis=(0, 2, 3)), 1, atol=1e-6)


def test_other_images_are_normalised_by_the_fitted_statistics(device):
    transform = Normalise(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    white = device.send(np.full((1, 3, 1, 1), 255, np.uint8))
    assert to_host(transform(white)).ravel().tolist() == [1.0, 3.0, 0.5]


def test_whitened_pixels_are_uncorrelated_up_to_the_regularisation(smooth, monkeypatch):
    monkeypatch.setattr(transforms, "_REGULARISATION", 1e-9)
    rows = Whiten.fit(smooth)(smooth).reshape(len(smooth), -1)
    # Each image has mean 0, so one direction in pixel space holds nothing: all others have variance 1.
    variances = np.linalg.eigvalsh(np.cov(rows, rowvar=False, bias=True))
    np.testing.assert_allclose(variances[1:], 1, atol=0.02)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-3)


def test_whitening_is_the_map_of_the_scaled_image_on_every_device(smooth, device):
    transform = Whiten.fit(smooth)
    rows = smooth[:5].reshape(5, -1) / 255
    rows = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    whitened = to_host(transform(device.send(smooth[:5])))
    np.testing.assert_allclose(whitened.reshape(5, -1), (rows - transform.mean) @ transform.matrix, atol=1e-4)


def test_the_map_is_symmetric_so_that_pixels_stay_where_they_are(smooth):
    matrix = Whiten.fit(smooth).matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-4)
    assert np.linalg.eigvalsh(matrix.astype(np.float64)).min() > 0


def test_brightness_and_contrast_of_an_image_do_not_matter_to_whitening(smooth):
    transform = Whiten.fit(smooth)
    darker = smooth[:5] // 2
    np.testing.assert_allclose(transform(darker), transform(2 * darker), atol=1e-3)
    assert np.isfinite(transform(np.full((1, 3, 4, 4), 7, np.uint8))).all(), "a flat image has no contrast"


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_whitening_does_not_depend_on_chunks(smooth, monkeypatch, chunk):
    expected = Whiten.fit(smooth[:20]).matrix
    monkeypatch.setattr(transforms, "_CHUNK_IMAGES", chunk)
    np.testing.assert_allclose(Whiten.fit(smooth[:20]).matrix, expected, atol=1e-3)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_one_image_and_none_are_images_and_none_is_changed(name):
    images = make_images()
    before = images.copy()
    transform = TRANSFORMS[name].fit(images)
    for n in (7, 1, 0):
        result = transform(images[:n])
        assert result.shape == images[:n].shape and result.dtype == np.float32
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_was_learned_gives_the_same_transform_back(name, tmp_path):
    images = make_images(30)
    transform = TRANSFORMS[name].fit(images)
    np.savez(tmp_path / "learned.npz", **transform.arrays())
    with np.load(tmp_path / "learned.npz") as stored:
        again = transform_from(transform.name, dict(stored))
    assert type(again) is type(transform) and again.arrays().keys() == transform.arrays().keys()
    for key, array in transform.arrays().items():
        np.testing.assert_array_equal(again.arrays()[key], array)
    np.testing.assert_array_equal(again(images), transform(images))


def test_transforms_that_learned_the_same_are_equal():
    assert Scale() == scale and Normalise([0.5], [1]) == Normalise((0.5,), np.array([1.0]))


@pytest.mark.parametrize("name", ["whiten", "", None])
def test_an_unknown_transform_lists_the_known_ones(name):
    with pytest.raises(DataError, match=f"transform: expected one of scale, normalise, zca, got {name!r}"):
        transform_from(name, {})


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("scale", {"mean": [0.5]}),
        ("normalise", {}),
        ("normalise", {"mean": [0.5]}),
        ("normalise", {"mean": [0.5], "std": ["a"]}),
        ("normalise", {"mean": 0.5, "std": 0.5}),
        ("normalise", {"mean": [], "std": []}),
        ("normalise", {"mean": [0.5, 0.5], "std": [1.0]}),
        *(("normalise", {"mean": [0.5], "std": [bad]}) for bad in (0.0, -1.0, float("nan"), float("inf"))),
        ("normalise", {"mean": [float("nan")], "std": [1.0]}),
        ("zca", {"mean": np.zeros(3), "std": np.ones(3)}),
        ("zca", {"mean": np.zeros(3), "matrix": np.eye(4)}),
        ("zca", {"mean": np.zeros((3, 1)), "matrix": np.eye(3)}),
        ("zca", {"mean": np.full(3, np.nan), "matrix": np.eye(3)}),
        ("zca", {"mean": np.zeros(3), "matrix": np.full((3, 3), np.inf)}),
        ("zca", {"mean": "abc", "matrix": np.eye(3)}),
    ],
)
def test_arrays_of_another_transform_are_refused(name, arrays):
    with pytest.raises(DataError, match=f"{name}: expected .*, got"):
        transform_from(name, arrays)


def test_a_channel_without_variation_cannot_be_normalised():
    with pytest.raises(DataError, match="a positive std for each channel"):
        Normalise.fit(np.full((2, 1, 3, 3), 9, np.uint8))


@pytest.mark.parametrize("name", ["normalise", "zca"])
@pytest.mark.parametrize(
    "images", [make_images(0), np.zeros((2, 4), np.uint8), np.zeros((2, 1, 2, 2)), np.zeros((2, 1, 0, 2), np.uint8)]
)
def test_fit_wants_a_batch_of_uint8_images(name, images):
    with pytest.raises(DataError, match=rf"{name}: expected uint8 \(N, C, H, W\)"):
        TRANSFORMS[name].fit(images)


def test_whitening_needs_two_images():
    with pytest.raises(DataError, match="N >= 2; got uint8"):
        Whiten.fit(make_images(1))


@pytest.mark.parametrize(
    ("name", "images", "message"),
    [
        *((name, make_images() / np.float32(255), "expected uint8 images, got float32") for name in TRANSFORMS),
        ("scale", [[1, 2]], "expected uint8 images, got list"),
        ("normalise", make_images(n_channels=1), r"expected images \(N, 3, H, W\), got uint8 of shape \(7, 1, 4, 5\)"),
        ("zca", make_images(n_channels=1), r"expected images \(N, C, H, W\) of 60 numbers, got uint8"),
        ("zca", np.zeros(60, np.uint8), "of 60 numbers, got uint8"),
    ],
)
def test_other_images_are_refused(name, images, message):
    with pytest.raises(DataError, match=message):
        TRANSFORMS[name].fit(make_images())(images)

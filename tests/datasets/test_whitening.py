"""ZCA whitening against what the word means."""

import numpy as np
import pytest

from branchynet.datasets import whitening
from branchynet.datasets.whitening import Whitener
from branchynet.errors import DataError


@pytest.fixture
def images(rng):
    """Images whose neighbouring pixels are alike, as those of photographs are."""
    smooth = rng.integers(0, 200, (400, 3, 4, 1)) + rng.integers(0, 56, (400, 3, 4, 4))
    return smooth.astype(np.uint8)


def test_whitened_pixels_are_uncorrelated_up_to_the_regularisation(images, monkeypatch):
    monkeypatch.setattr(whitening, "_REGULARISATION", 1e-9)
    rows = Whitener.fit(images)(images).reshape(len(images), -1)
    # Each image has mean 0, so one direction in pixel space holds nothing: all others have variance 1.
    variances = np.linalg.eigvalsh(np.cov(rows, rowvar=False, bias=True))
    np.testing.assert_allclose(variances[1:], 1, atol=0.02)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-3)


def test_the_map_is_symmetric_so_that_pixels_stay_where_they_are(images):
    matrix = Whitener.fit(images).matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-4)
    assert np.linalg.eigvalsh(matrix.astype(np.float64)).min() > 0


def test_brightness_and_contrast_of_an_image_do_not_matter(images):
    whitener = Whitener.fit(images)
    darker = (images[:5] // 2).astype(np.uint8)
    even = (2 * darker.astype(int)).astype(np.uint8)
    np.testing.assert_allclose(whitener(darker), whitener(even), atol=1e-3)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_do_not_matter(images, monkeypatch, chunk):
    expected = Whitener.fit(images[:20]).matrix
    monkeypatch.setattr(whitening, "_CHUNK_IMAGES", chunk)
    np.testing.assert_allclose(Whitener.fit(images[:20]).matrix, expected, atol=1e-3)


def test_one_image_a_flat_one_and_none(images):
    whitener = Whitener.fit(images)
    assert whitener(images[:1]).shape == (1, 3, 4, 4) and whitener(images[:1]).dtype == np.float32
    assert np.isfinite(whitener(np.full((1, 3, 4, 4), 7, np.uint8))).all()
    assert whitener(images[:0]).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("wrong", [np.zeros((3, 1, 2, 2)), np.zeros((1, 1, 2, 2), np.uint8), np.zeros(4, np.uint8)])
def test_other_images_are_refused(images, wrong):
    with pytest.raises(DataError, match="whitener: expected"):
        Whitener.fit(wrong)
    with pytest.raises(DataError, match="expected"):
        Whitener.fit(images)(wrong)

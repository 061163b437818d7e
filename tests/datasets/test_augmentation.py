"""Random changes of training images: each image is changed as a whole, and the generator decides."""

import numpy as np
import pytest

from branchynet.datasets.augmentation import random_crop_and_flip, random_flip, random_shift


@pytest.fixture
def images(rng):
    return rng.integers(1, 256, (200, 2, 5, 4)).astype(np.uint8)


def test_each_image_is_moved_as_a_whole(images, rng):
    shifted = random_shift(images, rng, max_shift=1)
    assert shifted.shape == images.shape and shifted.dtype == np.uint8
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    seen = set()
    for image, source in zip(shifted, padded):
        places = [(r, c) for r in range(3) for c in range(3) if (source[:, r : r + 5, c : c + 4] == image).all()]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 9, "every shift is drawn"


def test_no_shift_changes_nothing(images, rng):
    np.testing.assert_array_equal(random_shift(images, rng, max_shift=0), images)


@pytest.mark.parametrize(
    "change", [lambda images, rng: random_shift(images, rng, 2), random_flip, random_crop_and_flip]
)
def test_the_generator_decides_and_the_source_is_never_touched(images, change):
    before = images.copy()
    first, second, other = (change(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == images.shape and (first != other).any()
    np.testing.assert_array_equal(images, before)


def test_half_of_the_images_are_mirrored(images, rng):
    flipped = random_flip(images, rng)
    mirrored = [(image == source[..., ::-1]).all() for image, source in zip(flipped, images)]
    unchanged = [(image == source).all() for image, source in zip(flipped, images)]
    assert np.logical_xor(mirrored, unchanged).all()
    assert 60 < sum(mirrored) < 140


def test_a_crop_and_a_flip_without_a_margin_is_a_flip(images, rng):
    result = random_crop_and_flip(images, rng, margin=0)
    assert all((a == b).all() or (a == b[..., ::-1]).all() for a, b in zip(result, images))

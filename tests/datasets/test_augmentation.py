"""Random shifts of training images."""

import numpy as np
import pytest

from branchynet.datasets.augmentation import random_crop_and_flip, random_flip, random_shift


def test_each_image_is_moved_as_a_whole(rng):
    images = rng.integers(1, 256, (200, 2, 5, 4)).astype(np.uint8)
    shifted = random_shift(images, rng, max_shift=1)
    assert shifted.shape == images.shape and shifted.dtype == np.uint8
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    seen = set()
    for image, source in zip(shifted, padded):
        places = [(r, c) for r in range(3) for c in range(3) if (source[:, r : r + 5, c : c + 4] == image).all()]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 9, "every shift is drawn"


def test_no_shift_changes_nothing_and_the_source_is_never_touched(rng):
    images = rng.integers(0, 256, (3, 1, 4, 4)).astype(np.uint8)
    before = images.copy()
    np.testing.assert_array_equal(random_shift(images, rng, max_shift=0), images)
    random_shift(images, rng, max_shift=2)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_generator_decides(rng, seed):
    images = rng.integers(0, 256, (20, 1, 6, 6)).astype(np.uint8)
    first, second = (random_shift(images, np.random.default_rng(seed), 1) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_half_of_the_images_are_mirrored(rng):
    images = rng.integers(0, 256, (300, 2, 3, 4)).astype(np.uint8)
    flipped = random_flip(images, rng)
    mirrored = [(image == source[..., ::-1]).all() for image, source in zip(flipped, images)]
    unchanged = [(image == source).all() for image, source in zip(flipped, images)]
    assert np.logical_xor(mirrored, unchanged).all()
    assert 100 < sum(mirrored) < 200


def test_a_crop_and_a_flip_without_a_margin_is_a_flip(rng):
    images = rng.integers(0, 256, (20, 3, 6, 6)).astype(np.uint8)
    result = random_crop_and_flip(images, rng, margin=0)
    assert all((a == b).all() or (a == b[..., ::-1]).all() for a, b in zip(result, images))
    assert random_crop_and_flip(images, rng).shape == images.shape

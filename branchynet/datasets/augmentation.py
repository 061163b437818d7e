"""Random changes to training images that leave their class as it is.

Each function takes images (N, C, H, W) uint8 and a NumPy `Generator`, and returns a new array of the same form.
"""

import numpy as np


def random_shift(images, rng, max_shift):
    """Moves each image by up to `max_shift` pixels each way, both directions drawn alike; what comes in is 0."""
    n_samples, _, height, width = images.shape
    margin = (max_shift, max_shift)
    padded = np.pad(images, ((0, 0), (0, 0), margin, margin))
    # (N, C, 2 max_shift + 1, 2 max_shift + 1, H, W): every place that an image could be cut out at, as a view
    places = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    down, right = rng.integers(0, 2 * max_shift + 1, (2, n_samples))
    return places[np.arange(n_samples), :, down, right]


def random_flip(images, rng):
    """Mirrors each image, left to right, with probability 1/2."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[..., ::-1], images)


def random_crop_and_flip(images, rng, margin=4):
    """What CIFAR-10 is usually trained with: a random crop of the image in a margin of zeros, then a random flip.

    Args:
        images, rng: as above.
        margin: pixels added on every side before the crop.
    """
    return random_flip(random_shift(images, rng, margin), rng)

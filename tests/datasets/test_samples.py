"""Samples are checked and immutable and know their checksums; splits are disjoint parts of the training images."""

import dataclasses
import hashlib

import numpy as np
import pytest

from branchynet.datasets import Dataset, Samples
from branchynet.errors import DataError

IMAGES, LABELS = np.zeros((2, 1, 1, 1), np.uint8), np.zeros(2, np.int32)


def make_samples(n_images, first=0):
    labels = np.arange(first, first + n_images, dtype=np.int32)
    return Samples(np.broadcast_to(labels.astype(np.uint8)[:, None, None, None], (n_images, 1, 2, 2)), labels)


@pytest.fixture
def dataset():
    return Dataset("tiny", ("a", "b"), make_samples(10), make_samples(4, first=50), "nowhere")


@pytest.mark.parametrize("n_validation", [0, 1, 3, 9, np.int64(3)])
def test_validation_is_the_last_training_images(dataset, n_validation):
    splits = dataset.split(n_validation)
    assert splits.train.labels.tolist() == list(range(10 - n_validation))
    assert splits.validation.labels.tolist() == list(range(10 - n_validation, 10))
    assert splits.test is dataset.test
    for part in (splits.train, splits.validation):
        assert part.images[:, 0, 0, 0].tolist() == part.labels.tolist()
        assert len(part) == len(part.images)


def test_splitting_copies_nothing(dataset):
    part = dataset.split(3).train
    assert np.shares_memory(part.images, dataset.train.images) and np.shares_memory(part.labels, dataset.train.labels)


@pytest.mark.parametrize("n_validation", [-1, 10, 5000, 2.0, "3", None, True])
def test_a_split_that_leaves_nothing_to_train_on_or_is_no_number_is_refused(dataset, n_validation):
    with pytest.raises(DataError, match=f"expected 0 to 9 of 10 images, got {n_validation!r}"):
        dataset.split(n_validation)


def test_five_thousand_images_are_set_aside_unless_said_otherwise():
    splits = Dataset("x", (), make_samples(5001), make_samples(1), "nowhere").split()
    assert (len(splits.train), len(splits.validation)) == (1, 5000)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64, ">i4"])
def test_labels_are_kept_as_int32(dtype):
    labels = Samples(IMAGES, np.array([3, 250], dtype)).labels
    assert labels.dtype == np.int32 and labels.tolist() == [3, 250]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, np.zeros(3, np.int32), r"expected 2 integer labels, one an image, got int32 of shape \(3,\)"),
        (IMAGES, np.zeros((2, 1), np.int32), r"integer labels, one an image, got int32 of shape \(2, 1\)"),
        (IMAGES, np.zeros(2, np.float32), "integer labels, one an image, got float32"),
        (IMAGES, np.zeros(2, bool), "integer labels, one an image, got bool"),
        (IMAGES, [0, 1], "integer labels, one an image, got list"),
        (IMAGES, np.array([0, 2**32 + 1]), "labels that int32 can hold, got 0 to 4294967297"),
        (IMAGES, np.ma.masked_equal(LABELS, 0), "integer labels, one an image, got MaskedArray"),
        (np.ma.masked_equal(IMAGES, 0), LABELS, r"expected images \(N, C, H, W\) uint8, got MaskedArray"),
        (IMAGES.astype(np.float32), LABELS, r"expected images \(N, C, H, W\) uint8, got float32"),
        (IMAGES[0], LABELS, r"expected images \(N, C, H, W\) uint8, got uint8 of shape \(1, 1, 1\)"),
        (None, LABELS, r"expected images \(N, C, H, W\) uint8, got NoneType"),
    ],
)
def test_what_are_no_labelled_images_is_refused(images, labels, message):
    with pytest.raises(DataError, match=f"samples: .*{message}"):
        Samples(images, labels)


def test_samples_cannot_be_reassigned(dataset):
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.train.images = None


def test_checksums_are_those_of_the_published_bytes():
    samples = Samples(np.full((2, 1, 1, 1), 7, np.uint8), np.array([3, 4], np.int32))
    assert samples.sha256() == {
        "images": hashlib.sha256(b"\x07\x07").hexdigest(),
        "labels": hashlib.sha256(b"\x03\x04").hexdigest(),
    }
    large = Samples(samples.images, np.array([3, 260], np.int32))
    assert large.sha256()["labels"] == hashlib.sha256(large.labels.tobytes()).hexdigest(), "260 is not 4"

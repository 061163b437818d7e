"""Splits are disjoint parts of the training images; samples are immutable and know their checksums."""

import dataclasses
import hashlib

import numpy as np
import pytest

from branchynet.datasets import Dataset, Samples
from branchynet.errors import DataError


def _samples(n_images, first=0):
    labels = np.arange(first, first + n_images, dtype=np.int32)
    return Samples(np.broadcast_to(labels.astype(np.uint8)[:, None, None, None], (n_images, 1, 2, 2)), labels)


@pytest.fixture
def dataset():
    return Dataset("tiny", ("a", "b"), _samples(10), _samples(4, first=50), "nowhere")


@pytest.mark.parametrize("n_validation", [0, 1, 3, 9])
def test_validation_is_the_last_training_images(dataset, n_validation):
    splits = dataset.split(n_validation)
    assert splits.train.labels.tolist() == list(range(10 - n_validation))
    assert splits.validation.labels.tolist() == list(range(10 - n_validation, 10))
    assert splits.test is dataset.test
    for part in (splits.train, splits.validation):
        assert part.images[:, 0, 0, 0].tolist() == part.labels.tolist()
        assert len(part) == len(part.images)


def test_splitting_copies_no_image(dataset):
    assert np.shares_memory(dataset.split(3).train.images, dataset.train.images)


@pytest.mark.parametrize("n_validation", [-1, 10, 5000])
def test_a_split_that_leaves_nothing_to_train_on_is_an_error(dataset, n_validation):
    with pytest.raises(DataError, match=f"expected 0 to 9 of 10 images, got {n_validation}"):
        dataset.split(n_validation)


def test_five_thousand_images_are_set_aside_unless_said_otherwise():
    splits = Dataset("x", (), _samples(5001), _samples(1), "nowhere").split()
    assert (len(splits.train), len(splits.validation)) == (1, 5000)


def test_samples_need_one_label_an_image():
    with pytest.raises(DataError, match=r"as many labels as images \(2\), got 3"):
        Samples(np.zeros((2, 1, 1, 1), np.uint8), np.zeros(3, np.int32))


def test_samples_cannot_be_reassigned(dataset):
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.train.images = None


def test_checksums_are_those_of_the_published_bytes():
    samples = Samples(np.full((2, 1, 1, 1), 7, np.uint8), np.array([3, 4], np.int32))
    assert samples.sha256() == {
        "images": hashlib.sha256(b"\x07\x07").hexdigest(),
        "labels": hashlib.sha256(b"\x03\x04").hexdigest(),
    }

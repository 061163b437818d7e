"""`load`, the specs behind it, and the command."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import branchynet.datasets as datasets
from branchynet.datasets import cache
from branchynet.datasets.__main__ import main
from branchynet.datasets.fetch import DebianPackage, Download, NpmPackage
from branchynet.datasets.specs import SPECS
from branchynet.datasets.verify import ARRAY_NAMES
from branchynet.errors import DataError

from . import tiny


@pytest.fixture
def tiny_is_known(tmp_path, monkeypatch):
    """`load("tiny")` works, from a source that is not on any network."""
    arrays = tiny.make_arrays()
    monkeypatch.setitem(SPECS, "tiny", tiny.make_spec(arrays, [tiny.Works(arrays, tmp_path / "calls")]))
    return arrays


def test_load_gives_uint8_images_and_int32_labels(tiny_is_known, tmp_path):
    dataset = datasets.load("tiny", tmp_path / "data")
    for part, samples in (("train", dataset.train), ("test", dataset.test)):
        np.testing.assert_array_equal(samples.images, tiny_is_known[f"{part}_images"])
        np.testing.assert_array_equal(samples.labels, tiny_is_known[f"{part}_labels"])
        assert (samples.images.dtype, samples.labels.dtype) == (np.uint8, np.int32)
    assert (dataset.name, dataset.source) == ("tiny", "a source that works")


def test_loaded_arrays_are_read_only(tiny_is_known, tmp_path):
    samples = datasets.load("tiny", tmp_path / "data").train
    with pytest.raises(ValueError, match="read-only"):
        samples.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        samples.labels[0] = 0


@pytest.mark.parametrize("name", ["MNIST", "cifar100", ""])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(DataError, match=f"expected one of mnist, fashion-mnist, cifar10; got {name!r}"):
        datasets.load(name)


def test_the_command_says_where_the_data_came_from_and_what_they_are(tiny_is_known, tmp_path, capsys):
    assert main(["tiny", "--data-dir", str(tmp_path / "data")]) == 0
    output = capsys.readouterr().out
    assert "tiny: a source that works" in output
    assert f"test images (4, 1, 3, 2) uint8 sha256 {SPECS['tiny'].sha256['test_images']}" in output


def test_the_command_ends_with_status_2_and_the_message(capsys):
    assert main(["cifar100"]) == 2
    assert capsys.readouterr().err.startswith("error: data set: expected one of mnist")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_specs_are_complete(spec):
    assert spec.sha256.keys() == set(ARRAY_NAMES)
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in spec.sha256.values())
    assert len(spec.class_names) == 10
    assert spec.n_test == 10000


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_each_source_brings_a_whole_layout(spec, tmp_path):
    for i, source in enumerate(spec.sources):
        names = source.urls if isinstance(source, Download) else source.members.values()
        folder = tmp_path / str(i)
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        assert any(list(layout.places(folder)) for layout in spec.layouts)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_open_pages_come_before_package_registries(spec):
    assert [isinstance(source, (NpmPackage, DebianPackage)) for source in spec.sources] == [False, True]


def test_no_module_can_unpickle():
    for path in Path(datasets.__file__).parent.glob("*.py"):
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        assert not imported & {"pickle", "cPickle", "_pickle", "dill", "shelve", "marshal"}


@pytest.mark.parametrize(
    "name, first_labels, class_sizes",
    [
        ("mnist", [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
        ("fashion-mnist", [9, 0, 0, 3, 0, 2, 7, 2, 5, 5], [1000] * 10),
        ("cifar10", [6, 9, 9, 4, 1, 1, 2, 7, 8, 3], [1000] * 10),
    ],
)
def test_the_real_data_set(name, first_labels, class_sizes):
    if cache.read(SPECS[name], cache.default_folder()) is None:
        pytest.skip(f"{name} is not in the cache: python -m branchynet.datasets {name}")
    dataset = datasets.load(name, cache.default_folder())
    assert dataset.train.labels[:10].tolist() == first_labels
    assert np.bincount(dataset.test.labels).tolist() == class_sizes
    assert len(dataset.split().train) == len(dataset.train) - 5000

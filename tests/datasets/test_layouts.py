"""Known layouts: each is found in its usual places, read in full, and named when a file of it is damaged."""

import os

import pytest

from branchynet.datasets.layouts import CIFAR_BATCHES, IDX_FILES
from branchynet.datasets.loading import load_spec
from branchynet.datasets.specs import SPECS
from branchynet.errors import DataError

from . import tiny


def write_dotted(folder, arrays):
    tiny.write_idx(folder, arrays, rename=lambda name: name.replace("-idx", ".idx"))


def write_idx_gz(folder, arrays):
    tiny.write_idx(folder, arrays, ".gz")


# Shape of an image, what writes the files, and the sub-folder.
LAYOUTS = {
    "idx": (tiny.GREY, tiny.write_idx, ""),
    "idx gz": (tiny.GREY, write_idx_gz, ""),
    "idx with a dot": (tiny.GREY, write_dotted, ""),
    "idx in raw": (tiny.GREY, tiny.write_idx, "raw"),
    "torchvision": (tiny.GREY, tiny.write_idx, "Tiny/raw"),
    "torchvision gz": (tiny.GREY, write_idx_gz, "Tiny/raw"),
    "a folder of its name": (tiny.GREY, tiny.write_idx, "tiny"),
    "Chainer, its folder": (tiny.GREY, tiny.write_chainer_mnist, ""),
    "Chainer, dataset root": (tiny.GREY, tiny.write_chainer_mnist, "pfnet/chainer/tiny"),
    "Chainer, ~/.chainer": (tiny.GREY, tiny.write_chainer_mnist, "dataset/pfnet/chainer/tiny"),
    "CIFAR batches": (tiny.COLOUR, tiny.write_cifar_batches, ""),
    "CIFAR batches, above": (tiny.COLOUR, tiny.write_cifar_batches, "cifar-10-batches-py"),
    "CIFAR archive": (tiny.COLOUR, tiny.write_cifar_archive, ""),
    "CIFAR PNG": (tiny.COLOUR, tiny.write_cifar_pngs, ""),
    "CIFAR, Chainer, its folder": (tiny.COLOUR, tiny.write_chainer_cifar, ""),
    "CIFAR, Chainer, dataset root": (tiny.COLOUR, tiny.write_chainer_cifar, "pfnet/chainer/cifar"),
}


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path):
    """The folder, its arrays, and a function that writes arrays to it in the layout."""
    image_shape, write, subfolder = LAYOUTS[request.param]
    folder = tmp_path / "data"
    return folder, tiny.make_arrays(image_shape), lambda arrays: write(folder / subfolder, arrays)


def test_a_folder_that_holds_the_data_is_used_as_it_is(layout):
    folder, arrays, write = layout
    write(arrays)
    before = tiny.contents(folder)
    dataset = load_spec(tiny.make_spec(arrays), folder)  # without sources: only the folder can give it
    tiny.assert_is(dataset, arrays)
    assert str(folder) in dataset.source
    assert tiny.contents(folder) == before


def test_files_cut_short_are_reported_and_never_replaced(layout, works):
    folder, arrays, write = layout
    write(arrays)
    for path, data in tiny.contents(folder).items():
        path.write_bytes(data[: len(data) // 2])
    before = tiny.contents(folder)
    with pytest.raises(DataError, match="cannot be read: (.|\n)*Replace or remove these files"):
        load_spec(tiny.make_spec(arrays, [works]), folder)
    assert tiny.contents(folder) == before
    assert works.n_calls == 0


def test_one_altered_pixel_is_reported(layout):
    folder, arrays, write = layout
    spec = tiny.make_spec(arrays)
    arrays["test_images"][1, 0, 1, 1] ^= 1
    write(arrays)
    with pytest.raises(DataError, match="test_images: expected the sha256"):
        load_spec(spec, folder)


def test_a_data_set_of_another_size_is_reported(layout):
    folder, arrays, write = layout
    write(arrays)
    smaller = {**arrays, "test_images": arrays["test_images"][:3], "test_labels": arrays["test_labels"][:3]}
    with pytest.raises(DataError, match="cannot be read: expected .*, got"):
        load_spec(tiny.make_spec(smaller), folder)


def test_the_message_names_the_damaged_file(tmp_path, arrays):
    tiny.write_idx(tmp_path, arrays, ".gz")
    damaged = tmp_path / f"{IDX_FILES[2]}.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{damaged}: cannot be read"):
        load_spec(tiny.make_spec(arrays), tmp_path)


# What may stand in the place of a file: nothing, a folder, a pipe, a device. Reading one of the last two never ends.
NO_FILES = {
    "nothing": lambda path: None,
    "a folder": os.mkdir,
    "a pipe": getattr(os, "mkfifo", os.mkdir),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("missing", [IDX_FILES[0], IDX_FILES[3]])
@pytest.mark.parametrize("instead", NO_FILES)
def test_a_layout_without_one_of_its_files_is_not_that_layout(tmp_path, arrays, missing, instead):
    tiny.write_idx(tmp_path, arrays)
    (tmp_path / missing).unlink()
    NO_FILES[instead](tmp_path / missing)
    with pytest.raises(DataError, match="holds no tiny in a known layout"):
        load_spec(tiny.make_spec(arrays), tmp_path)


def deny(monkeypatch, folder):
    """Lets nobody look into a folder, not even root."""
    real_stat = os.stat

    def stat_(path, *arguments, **options):
        if folder in getattr(path, "parents", ()):
            raise PermissionError(13, "Permission denied", str(path))
        return real_stat(path, *arguments, **options)

    monkeypatch.setattr("branchynet.datasets.layouts.os.stat", stat_)


def test_a_part_of_the_folder_that_cannot_be_read_is_named(tmp_path, arrays, works, monkeypatch):
    deny(monkeypatch, tmp_path / "raw")
    spec = tiny.make_spec(arrays, [works])
    with pytest.raises(DataError, match=f"{tmp_path / 'raw'}: cannot be looked into: .*Permission denied"):
        load_spec(spec, tmp_path)
    assert works.n_calls == 0
    tiny.write_idx(tmp_path / "tiny", arrays)
    tiny.assert_is(load_spec(spec, tmp_path), arrays)


def test_a_whole_layout_is_used_where_another_one_is_damaged(tmp_path):
    arrays = tiny.make_arrays(tiny.COLOUR)
    tiny.write_cifar_batches(tmp_path, arrays)
    (tmp_path / CIFAR_BATCHES[0]).write_bytes(b"damaged")
    tiny.write_cifar_archive(tmp_path, arrays)
    assert load_spec(tiny.make_spec(arrays), tmp_path).source.startswith("CIFAR-10 archive")


def test_two_data_sets_with_the_same_file_names_lie_side_by_side(tmp_path):
    known = {"first": tiny.make_arrays(seed=1), "second": tiny.make_arrays(seed=2)}
    for name, arrays in known.items():
        tiny.write_idx(tmp_path / name, arrays)
    for name, arrays in known.items():
        tiny.assert_is(load_spec(tiny.make_spec(arrays, name=name), tmp_path), arrays)


def test_files_of_another_known_data_set_are_passed_over(tmp_path, arrays, works, monkeypatch):
    other = tiny.make_arrays(seed=2)
    monkeypatch.setitem(SPECS, "other", tiny.make_spec(other, name="other"))
    tiny.write_idx(tmp_path, other)
    dataset = load_spec(tiny.make_spec(arrays, [works]), tmp_path)
    tiny.assert_is(dataset, arrays)
    assert dataset.source == works.title
    with pytest.raises(DataError, match="holds other, not tiny"):
        load_spec(tiny.make_spec(tiny.make_arrays(seed=3)), tmp_path)

"""Known layouts: each is found in its usual places, read in full, and named when a file of it is damaged."""

import pytest

from branchynet.datasets.folders import CIFAR_BATCHES, IDX_FILES
from branchynet.datasets.loading import load_arrays
from branchynet.datasets.verify import verify
from branchynet.errors import DataError

from . import tiny


def _dotted(name):
    return name.replace("-idx", ".idx")


GREY_LAYOUTS = {
    "idx": lambda folder, arrays: tiny.write_idx(folder, arrays),
    "idx gz": lambda folder, arrays: tiny.write_idx(folder, arrays, ".gz"),
    "idx with a dot": lambda folder, arrays: tiny.write_idx(folder, arrays, rename=_dotted),
    "idx in raw": lambda folder, arrays: tiny.write_idx(folder / "raw", arrays),
    "torchvision": lambda folder, arrays: tiny.write_idx(folder / "Tiny" / "raw", arrays),
    "torchvision gz": lambda folder, arrays: tiny.write_idx(folder / "Tiny" / "raw", arrays, ".gz"),
    "a folder of its name": lambda folder, arrays: tiny.write_idx(folder / "tiny", arrays),
    "Chainer, its folder": lambda folder, arrays: tiny.write_chainer_mnist(folder, arrays),
    "Chainer, dataset root": lambda folder, arrays: tiny.write_chainer_mnist(folder / "pfnet/chainer/tiny", arrays),
    "Chainer, ~/.chainer": lambda folder, arrays: tiny.write_chainer_mnist(
        folder / "dataset/pfnet/chainer/tiny", arrays
    ),
}
COLOUR_LAYOUTS = {
    "batches": lambda folder, arrays: tiny.write_cifar_batches(folder, arrays),
    "batches, above": lambda folder, arrays: tiny.write_cifar_batches(folder / "cifar-10-batches-py", arrays),
    "archive": lambda folder, arrays: tiny.write_cifar_archive(folder, arrays),
    "PNG": lambda folder, arrays: tiny.write_cifar_pngs(folder, arrays),
    "Chainer, its folder": lambda folder, arrays: tiny.write_chainer_cifar(folder, arrays),
    "Chainer, dataset root": lambda folder, arrays: tiny.write_chainer_cifar(folder / "pfnet/chainer/cifar", arrays),
}
LAYOUTS = [
    *(pytest.param(tiny.GREY, write, id=f"grey: {name}") for name, write in GREY_LAYOUTS.items()),
    *(pytest.param(tiny.COLOUR, write, id=f"colour: {name}") for name, write in COLOUR_LAYOUTS.items()),
]


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("image_shape, write", LAYOUTS)
def test_a_folder_that_holds_the_data_is_used_as_it_is(tmp_path, image_shape, write):
    arrays = tiny.make_arrays(image_shape)
    spec = tiny.make_spec(arrays)  # without sources: only the folder can give it
    write(tmp_path, arrays)
    before = _contents(tmp_path)
    loaded, source = load_arrays(spec, tmp_path)
    verify(spec, loaded, "here")
    assert str(tmp_path) in source
    assert _contents(tmp_path) == before


@pytest.mark.parametrize("image_shape, write", LAYOUTS)
def test_a_file_cut_short_is_reported_and_never_replaced(tmp_path, image_shape, write):
    arrays = tiny.make_arrays(image_shape)
    spec = tiny.make_spec(arrays, [tiny.Works(arrays, tmp_path.parent / f"{tmp_path.name}-calls")])
    write(tmp_path, arrays)
    for path in _contents(tmp_path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = _contents(tmp_path)
    with pytest.raises(DataError, match="Replace or remove these files"):
        load_arrays(spec, tmp_path)
    assert _contents(tmp_path) == before
    assert spec.sources[0].n_calls() == 0


@pytest.mark.parametrize("image_shape, write", LAYOUTS)
def test_one_altered_pixel_is_reported(tmp_path, image_shape, write):
    arrays = tiny.make_arrays(image_shape)
    spec = tiny.make_spec(arrays)
    arrays["test_images"][1, 0, 1, 1] ^= 1
    write(tmp_path, arrays)
    with pytest.raises(DataError, match="test_images: expected the sha256"):
        load_arrays(spec, tmp_path)


@pytest.mark.parametrize("image_shape, write", LAYOUTS)
def test_a_data_set_of_another_size_is_reported(tmp_path, image_shape, write):
    arrays = tiny.make_arrays(image_shape)
    write(tmp_path, arrays)
    smaller = {**arrays, "test_images": arrays["test_images"][:3], "test_labels": arrays["test_labels"][:3]}
    with pytest.raises(DataError, match="expected"):
        load_arrays(tiny.make_spec(smaller), tmp_path)


def test_the_message_names_the_damaged_file(tmp_path):
    arrays = tiny.make_arrays()
    tiny.write_idx(tmp_path, arrays, ".gz")
    damaged = tmp_path / f"{IDX_FILES[2]}.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(DataError, match=str(damaged)):
        load_arrays(tiny.make_spec(arrays), tmp_path)


@pytest.mark.parametrize("missing", [IDX_FILES[0], IDX_FILES[3]])
def test_a_layout_with_a_file_missing_is_not_that_layout(tmp_path, missing):
    arrays = tiny.make_arrays()
    tiny.write_idx(tmp_path, arrays)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match="holds no tiny in a known layout"):
        load_arrays(tiny.make_spec(arrays), tmp_path)


def test_a_whole_layout_is_used_where_another_one_is_damaged(tmp_path):
    arrays = tiny.make_arrays(tiny.COLOUR)
    tiny.write_cifar_batches(tmp_path, arrays)
    (tmp_path / CIFAR_BATCHES[0]).write_bytes(b"damaged")
    tiny.write_cifar_archive(tmp_path, arrays)
    _, source = load_arrays(tiny.make_spec(arrays), tmp_path)
    assert source.startswith("CIFAR-10 archive")


def test_two_data_sets_with_the_same_file_names_lie_side_by_side(tmp_path):
    first, second = tiny.make_arrays(seed=1), tiny.make_arrays(seed=2)
    for name, arrays in (("first", first), ("second", second)):
        tiny.write_idx(tmp_path / name, arrays)
    for name, arrays in (("first", first), ("second", second)):
        loaded, _ = load_arrays(tiny.make_spec(arrays, name=name), tmp_path)
        assert loaded["test_labels"].tolist() == arrays["test_labels"].tolist()


def test_files_of_another_known_data_set_are_passed_over(tmp_path, monkeypatch):
    wanted, other = tiny.make_arrays(seed=1), tiny.make_arrays(seed=2)
    monkeypatch.setattr("branchynet.datasets.loading.SPECS", {"other": tiny.make_spec(other, name="other")})
    tiny.write_idx(tmp_path, other)
    spec = tiny.make_spec(wanted, [tiny.Works(wanted, tmp_path / "calls")])
    loaded, source = load_arrays(spec, tmp_path)
    assert source == "a source that works"
    verify(spec, loaded, "here")
    spec = tiny.make_spec(tiny.make_arrays(seed=3))
    with pytest.raises(DataError, match="holds other, not tiny"):
        load_arrays(spec, tmp_path)

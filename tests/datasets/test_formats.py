"""Readers of the published file formats: what is written is read, what is damaged is an error, nothing is unpickled."""

import gzip
import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from branchynet.datasets import formats
from branchynet.errors import DataError

from . import tiny

ANY_ERROR = (DataError, *formats.READ_ERRORS)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 2)])
def test_idx_is_read_back(tmp_path, shape, compress):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    stored = values[:, None] if len(shape) == 3 else values
    path = tmp_path / "a-file"
    path.write_bytes(compress(tiny.idx_bytes(stored)))
    read = formats.read_idx(path, shape)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:6],
        lambda data: b"",
        lambda data: b"\0\0\x0d\1" + data[4:],  # float32 elements
        lambda data: data[:7] + b"\x05" + data[8:],  # five values, says the header
        lambda data: b"<html>blocked</html>",
    ],
)
def test_a_damaged_idx_file_is_an_error(tmp_path, damage):
    path = tmp_path / "labels"
    path.write_bytes(damage(tiny.idx_bytes(np.arange(4, dtype=np.uint8))))
    with pytest.raises(DataError, match="expected"):
        formats.read_idx(path, (4,))


def test_a_gzip_file_cut_in_its_own_checksum_is_an_error(tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(tiny.idx_bytes(np.arange(4, dtype=np.uint8)))[:-3])
    with pytest.raises(EOFError):
        formats.read_idx(path, (4,))


@pytest.mark.parametrize(
    "dump",
    [
        tiny.python2_pickle,
        lambda images, labels: tiny.python2_pickle(images, labels, in_fortran_order=True),
        lambda images, labels: tiny.python3_pickle(images, labels, protocol=2),
        lambda images, labels: tiny.python3_pickle(images, labels, protocol=3),
        lambda images, labels: tiny.python3_pickle(images, labels, protocol=4),
        lambda images, labels: tiny.python3_pickle(np.asfortranarray(images.reshape(3, 12)), labels, protocol=4),
    ],
)
def test_a_cifar_batch_is_read_as_unpickling_would_read_it(dump):
    arrays = tiny.make_arrays(tiny.COLOUR, n_train=3)
    data = dump(arrays["train_images"], arrays["train_labels"])
    unpickled = pickle.loads(data, encoding="latin-1")
    images, labels = formats.read_cifar_batch(io.BytesIO(data), (3, *tiny.COLOUR))
    np.testing.assert_array_equal(images.reshape(3, 12), unpickled["data"])
    np.testing.assert_array_equal(labels, unpickled["labels"])
    assert images.dtype == labels.dtype == np.uint8


def test_labels_of_a_batch_may_come_after_its_data():
    batch = {"data": np.arange(24, dtype=np.uint8).reshape(2, 12), "labels": [7, 1]}
    images, labels = formats.read_cifar_batch(io.BytesIO(pickle.dumps(batch, 2)), (2, *tiny.COLOUR))
    np.testing.assert_array_equal(images.reshape(2, 12), batch["data"])
    assert labels.tolist() == [7, 1]


def test_only_the_value_of_data_is_taken_for_pixels():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 12)
    batch = {"data": pixels, "labels": [7, 1], "filenames": ["n" * 24, "m" * 24]}  # names as long as the pixels
    images, _ = formats.read_cifar_batch(io.BytesIO(pickle.dumps(batch, 2)), (2, *tiny.COLOUR))
    np.testing.assert_array_equal(images.reshape(2, 12), pixels)


class _RunsWhenUnpickled:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_never_run(tmp_path):
    evil = pickle.dumps({"labels": [1, 2], "data": _RunsWhenUnpickled(tmp_path / "run")}, 2)
    with pytest.raises(ANY_ERROR):
        formats.read_cifar_batch(io.BytesIO(evil), (2, *tiny.COLOUR))
    with open(tmp_path / "evil.npz", "wb") as file:
        np.savez(file, x=np.array([_RunsWhenUnpickled(tmp_path / "run")], dtype=object))
    with pytest.raises(ANY_ERROR):
        formats.read_npz(tmp_path / "evil.npz", ["x"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("n_kept", [0, 1, 10, 60, 90, -1])
def test_a_cifar_batch_cut_short_is_an_error(n_kept):
    arrays = tiny.make_arrays(tiny.COLOUR, n_train=2)
    data = tiny.python2_pickle(arrays["train_images"], arrays["train_labels"])
    with pytest.raises(ANY_ERROR):
        formats.read_cifar_batch(io.BytesIO(data[:n_kept]), (2, *tiny.COLOUR))


def test_a_cifar_batch_of_another_size_is_an_error():
    arrays = tiny.make_arrays(tiny.COLOUR, n_train=2)
    data = tiny.python2_pickle(arrays["train_images"], arrays["train_labels"])
    with pytest.raises(DataError, match="batch of 3 images"):
        formats.read_cifar_batch(io.BytesIO(data), (3, *tiny.COLOUR))


def test_png_rows_are_images_in_row_order(tmp_path):
    red, green, blue = (np.arange(4, dtype=np.uint8) + start for start in (10, 20, 30))
    Image.fromarray(np.stack([red, green, blue], axis=-1)[None]).save(tmp_path / "one.png")  # (1, 4, 3)
    images = formats.read_png_rows(tmp_path / "one.png", (1, 3, 2, 2))
    assert images.tolist() == [[[[10, 11], [12, 13]], [[20, 21], [22, 23]], [[30, 31], [32, 33]]]]


@pytest.mark.parametrize("mode, size", [("L", (4, 2)), ("RGBA", (4, 2)), ("RGB", (2, 4)), ("RGB", (4, 3))])
def test_a_png_of_another_size_or_mode_is_an_error(tmp_path, mode, size):
    Image.new(mode, size).save(tmp_path / "other.png")
    with pytest.raises(DataError, match="expected an RGB PNG of 4 x 2 pixels"):
        formats.read_png_rows(tmp_path / "other.png", (2, 3, 2, 2))


@pytest.mark.parametrize("text", ["[1, 2", '{"a": 1}', "[1, 256]", "[-1]", "[1.0]", "[true]", '["1"]'])
def test_labels_that_are_not_a_json_list_of_bytes_are_an_error(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ANY_ERROR):
        formats.read_json_labels(tmp_path / "labels.json")


def test_every_damaged_byte_of_an_npz_is_an_expected_error_or_harmless(tmp_path):
    path, values = tmp_path / "a.npz", np.arange(20, dtype=np.uint8)
    np.savez(path, x=values)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for mask in (0x01, 0x80):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
            try:
                read = formats.read_npz(path, ["x"])["x"]
            except ANY_ERROR:
                continue
            if read.dtype == values.dtype and read.shape == values.shape:
                np.testing.assert_array_equal(read, values)

"""Readers of the published file formats: what is written is read, what is damaged is an error, nothing is unpickled."""

import gzip
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from branchynet.datasets import formats
from branchynet.errors import DataError

from . import tiny

FOUR_LABELS = tiny.idx_bytes(np.arange(4, dtype=np.uint8))


@pytest.fixture
def put(tmp_path):
    """Writes bytes to a file; returns its path."""

    def put(data):
        (tmp_path / "a-file").write_bytes(data)
        return tmp_path / "a-file"

    return put


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 2)])
def test_idx_is_read_back(put, shape, compress):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    stored = values[:, None] if len(shape) == 3 else values
    read = formats.read_idx(put(compress(tiny.idx_bytes(stored))), shape)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    "data",
    [
        FOUR_LABELS[:-1],
        FOUR_LABELS + b"\0",
        FOUR_LABELS[:6],
        b"",
        b"\0\0\x0d\1" + FOUR_LABELS[4:],  # float32 elements
        FOUR_LABELS[:7] + b"\x05" + FOUR_LABELS[8:],  # five values, says the header
        b"<html>blocked</html>",
    ],
)
def test_a_damaged_idx_file_is_an_error(put, data):
    with pytest.raises(DataError, match="a-file: cannot be read: expected .*, got"):
        formats.read_idx(put(data), (4,))


def test_a_gzip_file_cut_in_its_own_checksum_is_an_error(put):
    with pytest.raises(DataError, match="a-file: cannot be read: Compressed file ended"):
        formats.read_idx(put(gzip.compress(FOUR_LABELS)[:-3]), (4,))


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
def test_a_cifar_batch_is_read_as_unpickling_would_read_it(put, dump):
    arrays = tiny.make_arrays(tiny.COLOUR, n_train=3)
    data = dump(arrays["train_images"], arrays["train_labels"])
    unpickled = pickle.loads(data, encoding="latin-1")
    images, labels = formats.read_cifar_batch(put(data), (3, *tiny.COLOUR))
    np.testing.assert_array_equal(images.reshape(3, 12), unpickled["data"])
    np.testing.assert_array_equal(labels, unpickled["labels"])
    assert images.dtype == labels.dtype == np.uint8


@pytest.mark.parametrize(
    "others",
    [{}, {"filenames": ["n" * 24, "m" * 24]}],
    ids=["labels after data", "names as long as the pixels"],
)
def test_only_the_values_of_data_and_labels_are_taken(put, others):
    batch = {"data": np.arange(24, dtype=np.uint8).reshape(2, 12), "labels": [7, 1], **others}
    images, labels = formats.read_cifar_batch(put(pickle.dumps(batch, 2)), (2, *tiny.COLOUR))
    np.testing.assert_array_equal(images.reshape(2, 12), batch["data"])
    assert labels.tolist() == [7, 1]


class RunsWhenUnpickled:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_never_run(put, tmp_path):
    code = RunsWhenUnpickled(tmp_path / "run")
    with pytest.raises(DataError, match="got no pixels"):
        formats.read_cifar_batch(put(pickle.dumps({"labels": [1, 2], "data": code}, 2)), (2, *tiny.COLOUR))
    np.savez(tmp_path / "evil.npz", x=np.array([code], dtype=object))
    with pytest.raises(DataError, match="allow_pickle=False"):
        formats.read_npz(tmp_path / "evil.npz", {"x": (1,)})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("n_kept", [0, 1, 10, 60, 90, -1])
def test_a_cifar_batch_cut_short_is_an_error(put, n_kept):
    arrays = tiny.make_arrays(tiny.COLOUR, n_train=2)
    data = tiny.python2_pickle(arrays["train_images"], arrays["train_labels"])
    with pytest.raises(DataError, match="a-file: cannot be read"):
        formats.read_cifar_batch(put(data[:n_kept]), (2, *tiny.COLOUR))
    with pytest.raises(DataError, match="expected a CIFAR-10 batch of 3 images"):
        formats.read_cifar_batch(put(data), (3, *tiny.COLOUR))


def test_png_rows_are_images_in_row_order(tmp_path):
    red, green, blue = (np.arange(4, dtype=np.uint8) + start for start in (10, 20, 30))
    Image.fromarray(np.stack([red, green, blue], axis=-1)[None]).save(tmp_path / "one.png")  # (1, 4, 3)
    images = formats.read_png_rows(tmp_path / "one.png", (1, 3, 2, 2))
    assert images.tolist() == [[[[10, 11], [12, 13]], [[20, 21], [22, 23]], [[30, 31], [32, 33]]]]
    assert images.flags.c_contiguous


@pytest.mark.parametrize(("mode", "size"), [("L", (4, 2)), ("RGBA", (4, 2)), ("RGB", (2, 4)), ("RGB", (4, 3))])
def test_a_png_of_another_size_or_mode_is_an_error(tmp_path, mode, size):
    Image.new(mode, size).save(tmp_path / "other.png")
    with pytest.raises(DataError, match="expected an RGB PNG of 4 x 2 pixels"):
        formats.read_png_rows(tmp_path / "other.png", (2, 3, 2, 2))


@pytest.mark.parametrize("text", [b"[1, 2", b'{"a": 1}', b"[1, 256]", b"[-1]", b"[1.0]", b"[true]", b'["1"]', b"\xff"])
def test_labels_that_are_not_a_json_list_of_bytes_are_an_error(put, text):
    with pytest.raises(DataError, match="a-file: cannot be read"):
        formats.read_json_labels(put(text))


def test_an_array_of_another_size_is_an_error(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"expected x of shape \(7,\), got \(2, 3\)"):
        formats.read_npz(tmp_path / "a.npz", {"x": (7,)})


def test_every_damaged_byte_of_an_npz_is_an_error_or_harmless(tmp_path):
    path, values = tmp_path / "a.npz", np.arange(20, dtype=np.uint8)
    np.savez(path, x=values)
    whole = path.read_bytes()
    n_refused = 0
    for position in range(len(whole)):
        for mask in (0x01, 0x80):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
            try:
                read = formats.read_npz(path, {"x": (20,)})["x"]
            except DataError:
                n_refused += 1
            else:
                assert read.dtype != np.uint8 or read.tolist() == values.tolist()
    assert n_refused > len(whole)

"""Tiny data sets with checksums of their own, files of them in every layout, and sources that need no network."""

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np
from PIL import Image

from branchynet.datasets.layouts import ARRAY_NAMES, CIFAR10_LAYOUTS, CIFAR_BATCHES, IDX_FILES, mnist_layouts
from branchynet.datasets.specs import DatasetSpec
from branchynet.errors import DataError

GREY = (1, 3, 2)
COLOUR = (3, 2, 2)


def make_arrays(image_shape=GREY, n_train=10, n_test=4, seed=0):
    """Four random arrays; for CIFAR-10's layouts the ten training images make five batches of two."""
    random = np.random.default_rng(seed)

    def part(n_images):
        images = random.integers(0, 256, (n_images, *image_shape), dtype=np.uint8)
        return images, random.integers(0, 10, n_images, dtype=np.uint8)

    return dict(zip(ARRAY_NAMES, (*part(n_train), *part(n_test))))


def make_spec(arrays, sources=(), name="tiny"):
    """The spec that exactly `arrays` meet."""
    image_shape = arrays["train_images"].shape[1:]
    return DatasetSpec(
        name=name,
        class_names=tuple("0123456789"),
        image_shape=image_shape,
        n_train=len(arrays["train_labels"]),
        n_test=len(arrays["test_labels"]),
        sha256={key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in arrays.items()},
        layouts=CIFAR10_LAYOUTS if image_shape[0] == 3 else mnist_layouts(name, torchvision_name="Tiny"),
        sources=tuple(sources),
        files_wanted="the four idx files",
    )


def assert_is(dataset, arrays):
    """A loaded `Dataset` holds exactly these arrays."""
    for part, samples in (("train", dataset.train), ("test", dataset.test)):
        np.testing.assert_array_equal(samples.images, arrays[f"{part}_images"])
        np.testing.assert_array_equal(samples.labels, arrays[f"{part}_labels"])
        assert (samples.images.dtype, samples.labels.dtype) == (np.uint8, np.int32)


def contents(folder):
    """{path: bytes} of all files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def idx_bytes(array):
    """An array as idx file; the one channel of images is not stored."""
    stored = array.squeeze(1) if array.ndim == 4 else array
    return struct.pack(f">BBBB{stored.ndim}I", 0, 0, 8, stored.ndim, *stored.shape) + stored.tobytes()


def write_idx(folder, arrays, suffix="", rename=lambda name: name):
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in zip(IDX_FILES, ARRAY_NAMES):
        data = idx_bytes(arrays[key])
        (folder / (rename(name) + suffix)).write_bytes(gzip.compress(data) if suffix == ".gz" else data)


def flat(arrays):
    """The four arrays as Chainer keeps them: one image a row."""
    return {key: array.reshape(len(array), -1) if array.ndim == 4 else array for key, array in arrays.items()}


def write_chainer_mnist(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = flat(arrays)
    for part in ("train", "test"):
        np.savez_compressed(folder / f"{part}.npz", x=arrays[f"{part}_images"], y=arrays[f"{part}_labels"])


def write_chainer_cifar(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    names = {"train_x": "train_images", "train_y": "train_labels", "test_x": "test_images", "test_y": "test_labels"}
    np.savez_compressed(folder / "cifar-10.npz", **{name: flat(arrays)[key] for name, key in names.items()})


def cifar_batches(arrays):
    """(images, labels) of each file of CIFAR-10's Python version."""
    train = [(arrays["train_images"][i : i + 2], arrays["train_labels"][i : i + 2]) for i in range(0, 10, 2)]
    return dict(zip(CIFAR_BATCHES, [*train, (arrays["test_images"], arrays["test_labels"])]))


def python2_pickle(images, labels, in_fortran_order=False):
    """A batch as Python 2 pickled it (protocol 2), opcode by opcode: the form in which CIFAR-10 is published."""
    n_images = len(images)
    rows = images.reshape(n_images, -1)

    def text(value):  # SHORT_BINSTRING
        return b"U" + bytes([len(value)]) + value

    def small(value):  # BININT1
        return b"K" + bytes([value])

    data = rows.tobytes(order="F" if in_fortran_order else "C")
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + text(b"b") + b"\x87Rq\t("
        b"K\x01" + small(n_images) + small(rows.shape[1]) + b"\x86cnumpy\ndtype\nq\n" + text(b"u1") + b"K\x00K\x01\x87R"
        b"q\x0b(K\x03" + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
        + (b"\x88" if in_fortran_order else b"\x89") + b"T" + struct.pack("<I", len(data)) + data + b"tb"
    )  # fmt: skip
    names = b"".join(text(b"photo_%d.png" % i) for i in range(n_images))
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5") + b"q\x03"
        + text(b"labels") + b"q\x04]q\x05(" + b"".join(map(small, labels.tolist())) + b"e"
        + text(b"data") + b"q\x06" + array
        + text(b"filenames") + b"q\x0c]q\x0d(" + names + b"eu."
    )  # fmt: skip


def python3_pickle(images, labels, protocol=2):
    """A batch as Python 3 pickles it: what a user who saved the batches anew has."""
    batch = {"batch_label": "b", "labels": labels.tolist(), "data": images.reshape(len(images), -1), "filenames": ["f"]}
    return pickle.dumps(batch, protocol)


def write_cifar_batches(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in cifar_batches(arrays).items():
        (folder / name).write_bytes(python2_pickle(images, labels))


def write_cifar_archive(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name, (images, labels) in cifar_batches(arrays).items():
            data = python2_pickle(images, labels)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_cifar_pngs(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, _) in cifar_batches(arrays).items():
        rows = images.transpose(0, 2, 3, 1).reshape(len(images), -1, 3)  # (N, C, H, W) -> (N, H * W, C)
        Image.fromarray(rows).save(folder / f"{name}.png")
    for part in ("train", "test"):
        (folder / f"{part}_lables.json").write_text(json.dumps(arrays[f"{part}_labels"].tolist()))


@dataclass
class Brings:
    """A source that fills the folder by a function of it, or raises an error; it counts how often it was asked."""

    title: str
    write: Callable = None
    error: Exception = field(default_factory=lambda: DataError("not today"))
    n_calls: int = 0

    def fetch(self, into):
        self.n_calls += 1
        if self.write is None:
            raise self.error
        self.write(into)


@dataclass
class Works:
    """A source that writes idx files, and notes each call in a file, which other processes can see too."""

    arrays: dict
    calls: Path
    title: str = "a source that works"

    def fetch(self, into):
        with open(self.calls, "a") as file:
            file.write("called\n")
        write_idx(into, self.arrays)

    @property
    def n_calls(self):
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

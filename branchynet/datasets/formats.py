"""File formats in which the data sets are published, read without running anything that is in them.

Each reader takes a path and the shape that it must find, and returns uint8. Whatever is wrong with the file is a
DataError that names it. The content is not checked here: `branchynet.datasets.specs` does that.
"""

import functools
import gzip
import json
import math
import pickletools
import struct
import tarfile

import numpy as np
from PIL import Image

from branchynet.errors import DataError

_IDX_UINT8 = 8
_GZIP_MAGIC = b"\x1f\x8b"


def _reader(read):
    """Makes whatever a reader raises a DataError that names the file."""

    @functools.wraps(read)
    def named(path, *arguments):
        try:
            return read(path, *arguments)
        except Exception as error:  # of almost any kind, where a file is damaged: SyntaxError, MemoryError ...
            raise DataError(f"{path}: cannot be read: {str(error) or type(error).__name__}") from error

    return named


@_reader
def read_idx(path, shape):
    """Reads an idx file (the format of MNIST), gzip-compressed or not.

    The header is two zero bytes, the element type (8 = uint8), the number of dimensions, and each dimension as a
    big-endian uint32; the elements follow in C order. The header must state `shape`, and no more than that is read.
    """
    with open(path, "rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
    n_dims, n_values = len(shape), math.prod(shape)
    with gzip.open(path, "rb") if is_gzip else open(path, "rb") as file:
        header = file.read(4 + 4 * n_dims)
        expected = struct.pack(f">BBBB{n_dims}I", 0, 0, _IDX_UINT8, n_dims, *shape)
        if header != expected:
            raise DataError(f"expected an idx file of shape {shape} (header {expected.hex()}), got {header.hex()}")
        # One byte more than there may be: it shows trailing bytes, and makes gzip check its own checksum.
        data = file.read(n_values + 1)
    if len(data) != n_values:
        got = f"{len(data)} bytes" if len(data) < n_values else "more"
        raise DataError(f"expected {n_values} bytes after the header, got {got}")
    return np.frombuffer(data, np.uint8).reshape(shape)


@_reader
def read_npz(path, shapes) -> dict:
    """Reads the arrays of {name: shape} from an `.npz` archive, of any dtype but pickled objects; each is reshaped."""
    # The file is opened here because np.load leaves it open if it is no zip file.
    with open(path, "rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(f"expected an npz archive with {', '.join(shapes)}, got a single array")
        with archive:
            arrays = {name: archive[name] for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].size != math.prod(shape):
            raise DataError(f"expected {name} of shape {shape}, got {arrays[name].shape}")
    return {name: arrays[name].reshape(shape) for name, shape in shapes.items()}


@_reader
def read_cifar_batch(path, shape):
    """Reads one batch file of CIFAR-10's Python version: images of `shape`, (N, C, H, W), and labels (N,)."""
    with open(path, "rb") as file:
        return _parse_batch(file, shape)


@_reader
def read_cifar_archive(path, shapes) -> list:
    """Reads the tar archive of CIFAR-10's Python version: (images, labels) of each batch of {path in it: shape}."""
    batches = []
    with tarfile.open(path, "r:*") as archive:
        for name, shape in shapes.items():
            file = archive.extractfile(name)
            if file is None:
                raise DataError(f"expected {name} to be a file")
            batches.append(_parse_batch(file, shape))
    return batches


def _parse_batch(file, shape):
    """Takes images and labels out of a pickled batch without unpickling it.

    A batch is a dictionary with `data`, an array of one image a row (its red, green and blue plane), and `labels`, a
    list of small integers. `pickletools.genops` splits the pickle into its opcodes and executes none of them; the two
    values are picked from their arguments. The flag before an array's bytes says whether they are in Fortran order.
    """
    n_bytes = math.prod(shape)
    data, labels, key, is_fortran = None, [], None, False
    for opcode, argument, _ in pickletools.genops(file):
        if isinstance(argument, bytes):
            argument = argument.decode("latin-1")
        if key == "data" and isinstance(argument, str) and len(argument) == n_bytes and opcode.name != "GLOBAL":
            data = np.frombuffer(argument.encode("latin-1"), np.uint8)
        elif argument in ("batch_label", "data", "labels", "filenames"):
            key = argument
        elif opcode.name in ("NEWTRUE", "NEWFALSE") and data is None:
            is_fortran = opcode.name == "NEWTRUE"  # the last one before the bytes counts
        elif key == "labels" and opcode.name in ("BININT1", "BININT", "INT"):
            labels.append(argument)
    if data is None or len(labels) != shape[0]:
        got = "no pixels" if data is None else f"{len(labels)} labels"
        raise DataError(f"expected a CIFAR-10 batch of {shape[0]} images of {shape[1:]}, got {got}")
    rows = data.reshape((shape[0], -1), order="F" if is_fortran else "C")
    return rows.reshape(shape), np.array(labels, np.uint8)


@_reader
def read_png_rows(path, shape):
    """Reads images of `shape`, (N, 3, H, W), from an RGB PNG of N rows, each the H * W pixels of one image."""
    n_images, n_channels, height, width = shape
    with Image.open(path, formats=("PNG",)) as png:
        # Size and mode come from the header: a picture of another size is refused before it is decoded.
        if png.size != (height * width, n_images) or png.mode != "RGB":
            raise DataError(f"expected an RGB PNG of {height * width} x {n_images} pixels, got {png.mode} {png.size}")
        pixels = np.asarray(png)  # (N, H * W, 3)
    pixels = pixels.reshape(n_images, height, width, n_channels)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))  # (N, H, W, 3) -> (N, 3, H, W)


@_reader
def read_json_labels(path):
    """Reads labels, 0 to 255, from a JSON list of integers: (N,)."""
    with open(path, encoding="utf-8") as file:
        labels = json.load(file)
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label <= 255 for label in labels):
        raise DataError("expected a JSON list of integers from 0 to 255")
    return np.array(labels, np.uint8)

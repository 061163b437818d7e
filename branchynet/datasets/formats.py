"""File formats in which the data sets are published, read without running anything that is in them.

Each reader takes a path and the shape it must find, and returns uint8. What is malformed raises one of `READ_ERRORS`
or DataError; nothing here checks the content, `branchynet.datasets.verify` does.
"""

from __future__ import annotations

import gzip
import json
import pickletools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from branchynet.errors import DataError

READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    SyntaxError,  # a damaged .npy header, a damaged PNG chunk
    RuntimeError,  # zipfile: a member is marked as encrypted, or uses an unknown compression
    MemoryError,  # a damaged header asks for an impossible size
    OverflowError,
    struct.error,
    zlib.error,
    LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    Image.DecompressionBombError,  # a damaged PNG header asks for an impossible size
)
"""All that the readers may raise on a file that is missing, cut short or altered."""

_IDX_UINT8 = 8
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read an idx file (the format of MNIST), gzip-compressed or not.

    The header is two zero bytes, the element type (8 = uint8), the number of dimensions, and each dimension as a
    big-endian uint32; the elements follow in C order.

    Args:
        shape: The shape that the header must state; no more than that is read.

    Returns:
        Array of `shape`, uint8.
    """
    with open(path, "rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
    n_dims, n_values = len(shape), int(np.prod(shape))
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


def read_npz(path: Path, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Read arrays from an `.npz` archive; arrays of pickled objects are refused."""
    # The file is opened here because np.load leaves it open if it is no zip file.
    with open(path, "rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(f"expected an npz archive with {', '.join(keys)}, got a single array")
        with archive:
            return {key: archive[key] for key in keys}


def read_cifar_batch(file: BinaryIO, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch of CIFAR-10's Python version without unpickling it.

    A batch is a pickled dictionary with `data`, an array of one image a row (its red, green and blue plane), and
    `labels`, a list of small integers. `pickletools.genops` splits the pickle into its opcodes and executes none of
    them; the two values are picked from their arguments. The flag that comes before an array's bytes says whether
    they are in Fortran order.

    Args:
        file: The pickle, opened in binary mode.
        shape: Shape of the images, (N, C, H, W).

    Returns:
        Images of `shape` and labels (N,), both uint8.
    """
    n_bytes = int(np.prod(shape))
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


def read_png_rows(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read RGB images from a PNG that holds one image in each row of pixels.

    Args:
        shape: Shape of the images, (N, 3, H, W); the PNG must be H * W pixels wide and N high.

    Returns:
        Images of `shape`, uint8.
    """
    n_images, n_channels, height, width = shape
    with Image.open(path, formats=("PNG",)) as png:
        # Size and mode come from the header: a picture of another size is refused before it is decoded.
        if png.size != (height * width, n_images) or png.mode != "RGB":
            raise DataError(f"expected an RGB PNG of {height * width} x {n_images} pixels, got {png.mode} {png.size}")
        pixels = np.asarray(png)  # (N, H * W, 3)
    return pixels.reshape(n_images, height, width, n_channels).transpose(0, 3, 1, 2)  # -> (N, 3, H, W)


def read_json_labels(path: Path) -> np.ndarray:
    """Read labels, 0 to 255, from a JSON list of integers, (N,) uint8."""
    labels = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label <= 255 for label in labels):
        raise DataError("expected a JSON list of integers from 0 to 255")
    return np.array(labels, np.uint8)

"""Hostile files of weights: {name: function (stem, pair) -> None, which spoils what `save_weights` wrote there}."""

import hashlib
import io
import json
import os
import socket
import warnings
import zipfile

import numpy as np

from branchynet.serialization.arrays import read_pair, write_pair

_VICTIM = "exits/2/0/W"


def describe_anew(stem):
    """Makes the description fit the `.npz` file that is there, as somebody who means it would."""
    path = stem.with_suffix(".json")
    description = {**json.loads(path.read_text()), "format": 2}
    description.pop("description_sha256")
    description["sha256"] = hashlib.sha256(stem.with_suffix(".npz").read_bytes()).hexdigest()
    path.write_text(json.dumps(description))


def _arrays(change):
    """Arrays that were changed, saved anew as they should be."""

    def attack(stem):
        description, arrays = read_pair(stem, "weights")
        provenance = description.pop("provenance")
        write_pair(stem, change(arrays), description, provenance)

    return attack


def _victim(change):
    return _arrays(lambda arrays: {**arrays, _VICTIM: change(arrays[_VICTIM])})


def _description(**changes):
    """A description that was changed, saved anew as it should be."""

    def attack(stem):
        description, arrays = read_pair(stem, "weights")
        provenance = changes.get("provenance", description.pop("provenance"))
        write_pair(stem, arrays, {**description, **changes}, provenance)

    return attack


def _text(text):
    """Another text in place of the description."""
    return lambda stem: stem.with_suffix(".json").write_bytes(text.encode() if isinstance(text, str) else text)


def _archive(add, compression=zipfile.ZIP_STORED):
    """Another `.npz` file: the arrays, and what `add` puts in place of the victim."""

    def attack(stem):
        arrays = dict(np.load(stem.with_suffix(".npz")))
        with zipfile.ZipFile(stem.with_suffix(".npz"), "w", compression) as archive:
            for name, array in arrays.items():
                if name != _VICTIM:
                    archive.writestr(f"{name}.npy", _npy(array))
            add(archive)
        describe_anew(stem)

    return attack


def _npy(array):
    handle = io.BytesIO()
    np.lib.format.write_array(handle, array)
    return handle.getvalue()


HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
    "{1: 2, 'a': 3}",
    "{[]: 1}",
    "{'shape': (True, 24), 'descr': '<f4', 'fortran_order': False}",
    "{'shape': (1000000000000,), 'descr': '<U0', 'fortran_order': False}",
    "-" * 9000 + "1",
    "'''",
)


def _header(text):
    """Puts a header that NumPy would not write in front of as many bytes as it claims, 96 or none."""
    n_there = 96 * ("24" in text)
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(n_there)
    return lambda archive: archive.writestr("exits/2/0/W.npy", content)


def _claiming(shape, n_there):
    handle = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(handle, header)
    return handle.getvalue() + bytes(n_there)


def _bytes(change):
    """The bytes of the `.npz` file, changed."""

    def attack(stem):
        path = stem.with_suffix(".npz")
        path.write_bytes(change(bytearray(path.read_bytes())))
        describe_anew(stem)

    return attack


def _at_entries(offset, value):
    """A byte of every entry in the archive's directory, and of every member's own header (which is 2 bytes shorter)."""

    def change(content):
        for mark, shift in ((b"PK\x01\x02", 0), (b"PK\x03\x04", -2)):
            at = content.find(mark)
            while at >= 0:
                content[at + offset + shift] = value
                at = content.find(mark, at + 4)
        return bytes(content)

    return change


def _special(make):
    """Something that is no regular file, in place of each of the two."""
    return {
        f"{ending}": lambda stem, ending=ending: _replaced(stem.with_suffix(ending), make)
        for ending in (".npz", ".json")
    }


def _replaced(path, make):
    path.unlink()
    make(path)


def _sparse(path):
    with open(path, "wb") as handle:
        handle.truncate(1 << 40)


def _listening(path):
    with socket.socket(socket.AF_UNIX) as own:
        place = os.getcwd()
        os.chdir(path.parent)  # the names of sockets are short
        try:
            own.bind(path.name)
        finally:
            os.chdir(place)


def _two_of_one_name(archive):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what is meant here
        for value in (0, 1):
            archive.writestr("exits/2/0/W.npy", _npy(np.full((3, 8), value, np.float32)))


NAN, HUGE = np.float32("nan"), 1e300
# "posix" kinds are made where the system has them.
POSIX = {
    f"{kind} as {ending}": attack
    for kind, make in {
        "pipe": lambda path: os.mkfifo(path),
        "zeros without end": lambda path: path.symlink_to("/dev/zero"),
        "memory of the process": lambda path: path.symlink_to("/proc/self/mem"),
        "socket": _listening,
        "a terabyte": _sparse,
    }.items()
    for ending, attack in _special(make).items()
}
FILES = {
    **{f"folder as {ending}": attack for ending, attack in _special(lambda path: path.mkdir()).items()},
    "bomb": _archive(lambda a: a.writestr("exits/2/0/W.npy", _claiming((1 << 25,), 1 << 27)), zipfile.ZIP_DEFLATED),
    "claims 2^50 numbers": _archive(lambda a: a.writestr("exits/2/0/W.npy", _claiming((1 << 50,), 4))),
    "claims fewer than none": _archive(lambda a: a.writestr("exits/2/0/W.npy", _claiming((-1, -4), 16))),
    "claims 2^70 times 0": _archive(lambda a: a.writestr("exits/2/0/W.npy", _claiming((1 << 70, 0), 0))),
    "60,000 members": _archive(lambda a: [a.writestr(f"a{n}.npy", b"") for n in range(60_000)]),
    "two of one name": _archive(_two_of_one_name),
    "no array": _archive(lambda a: a.writestr("exits/2/0/W.npy", b"broken")),
    "a later array": _archive(lambda a: a.writestr("exits/2/0/W.npy", b"\x93NUMPY\x09\x00" + bytes(100))),
    "another ending": _archive(lambda a: a.writestr("exits/2/0/W.pkl", b"")),
    "a header that is code": _archive(
        lambda a: a.writestr("exits/2/0/W.npy", b"\x93NUMPY\x01\x00\x10\x00exit(1)        \n")
    ),
    **{f"a header {header[:60]}": _archive(_header(header)) for header in HEADERS},
    "pickled object": _archive(lambda a: a.writestr("exits/2/0/W.npy", _npy(np.array([print], object)))),
    "encrypted": _bytes(_at_entries(8, 1)),
    "unknown compression": _bytes(_at_entries(10, 99)),
    "cut": _bytes(lambda content: bytes(content[: len(content) // 2])),
    "empty": _bytes(lambda content: b""),
    "a single array": _bytes(lambda content: _npy(np.zeros(3))),
    "missing array": _arrays(lambda arrays: {k: v for k, v in arrays.items() if k != _VICTIM}),
    "one array more": _arrays(lambda arrays: {**arrays, "more": np.zeros(3)}),
    "NaN": _victim(lambda array: np.full_like(array, NAN)),
    "infinity": _victim(lambda array: np.full_like(array, np.inf)),
    "too large for float32": _victim(lambda array: np.full(array.shape, HUGE)),
    "complex": _victim(lambda array: array.astype(np.complex64)),
    "text": _victim(lambda array: array.astype(str)),
    "whole numbers of another shape": _victim(lambda array: np.zeros((5, 5), int)),
    "transposed": _victim(lambda array: array.T.copy()),
    "a number": _victim(lambda array: np.float32(1)),
    **{
        f"description {name}": _text(text)
        for name, text in {
            "[]": "[]",
            "null": "null",
            "3": "3",
            "a text": '"format"',
            "empty": "",
            "deep list": "[" * 100_000,
            "deep dictionary": '{"a":' * 100_000,
            "deep but whole": "[" * 900 + "]" * 900,
            "not UTF-8": "{}".encode("utf-16"),
            "NaN": '{"format": NaN}',
            "a number without end": '{"format": ' + "9" * 4000 + "}",
            "format 0": '{"format": 0}',
            "format 4": '{"format": 4}',
            "format true": '{"format": true}',
            "format 1.0": '{"format": 1.0}',
        }.items()
    },
    **{
        f"{key} {value!r}"[:60]: _description(**{key: value})
        for key, values in {
            "architecture": ([1, 2, 3], [{}, {}, {}], "abc", 3, [{"stage": 3, "branch": []}]),
            "sample_shape": ("166", [-1, 6, 6], [10**9] * 3, [1.5, 6, 6], [], 3, [True, 6, 6], [[1], 6, 6]),
            "transform": (3, [], {}, "zca", "no such"),
            "class_names": (3, [1, 2, 3], ["a"], "abc", [[]]),
            "dataset": ("mnist", [], 3),
            "provenance": ([1], "text", 3),
        }.items()
        for value in values
    },
}

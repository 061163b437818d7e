"""Arrays in `.npz` files without pickle, and the JSON file that says what they belong to.

Chainer's own `save_npz` stores None as a pickled object and its `load_npz` unpickles; here None is a marker and
nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import zipfile

import chainer
import numpy as np

from branchynet.errors import SnapshotError
from branchynet.machine.files import replacing

# Format 1 knew no transform, no shape and no class names; its weights are read all the same.
FORMAT = 2
# Stands for None in the file; no weight or state of a trainer is this text.
_NONE = "<none>"


def paths_of(stem):
    """The `.npz` and the `.json` file of a stem."""
    stem = pathlib.Path(stem)
    return stem.with_name(stem.name + ".npz"), stem.with_name(stem.name + ".json")


def write_description(npz_path, json_path, description, provenance):
    """Writes what an .npz file belongs to; its checksum ties the two together."""
    digest = hashlib.sha256(npz_path.read_bytes()).hexdigest()
    description = {"format": FORMAT, **description, "sha256": digest, "provenance": provenance or {}}
    with replacing(json_path, "w", encoding="utf-8") as handle:
        json.dump(description, handle, indent=1)


def read_description_of(npz_path, json_path, what):
    """The description beside an `.npz` file, whose checksum must be the one that it names."""
    try:
        description = json.loads(json_path.read_text(encoding="utf-8"))
        digest = hashlib.sha256(npz_path.read_bytes()).hexdigest()
    except OSError as error:
        raise SnapshotError(
            f"{what}: expected {npz_path.name} and {json_path.name} in {npz_path.parent}: {error}"
        ) from error
    except ValueError as error:
        raise SnapshotError(f"{what}: {json_path} is damaged: {error}") from error
    if not isinstance(description, dict) or description.get("format") not in range(1, FORMAT + 1):
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        raise SnapshotError(f"{what}: {json_path}: expected format 1 to {FORMAT}, got {found!r}")
    if digest != description.get("sha256"):
        raise SnapshotError(f"{what}: {npz_path} is not the file that {json_path.name} describes (sha256 differs)")
    return description


def keys_of(target):
    """The names of all arrays of a link."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(target)
    return list(serializer.target)


def write_arrays(path, target, extra=None):
    """Writes the state of a link or trainer, and `extra` arrays by name, into one `.npz` file."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(target)
    arrays = {key: np.array(_NONE) if array.dtype == object else array for key, array in serializer.target.items()}
    with replacing(path) as handle:
        np.savez(handle, **arrays, **(extra or {}))


def read_arrays(path, target):
    """Reads an `.npz` file into a link or trainer."""
    with open_arrays(path) as arrays:
        read_into(path, Deserializer(arrays), target)


def read_into(path, deserializer, target):
    """Reads into `target`, a link or trainer, what a `Deserializer` finds; SnapshotError if it is not there."""
    try:
        deserializer.load(target)
    except KeyError as error:
        raise SnapshotError(f"{path} belongs to another network or run: it holds no {error}") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise SnapshotError(f"{path} is damaged or belongs to another network: {error}") from error


def open_arrays(path):
    """Opens an `.npz` file; SnapshotError if it is none."""
    try:
        arrays = np.load(path, allow_pickle=False)
    except OSError as error:
        raise SnapshotError(f"{path}: expected a readable .npz file: {error.strerror or error}") from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        # NumPy's own message proposes to unpickle.
        raise SnapshotError(f"{path}: expected a readable .npz file, got a damaged one or another kind") from error
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise SnapshotError(f"{path}: expected an .npz file, got a single array")
    return arrays


class Deserializer(chainer.serializers.NpzDeserializer):
    """Chainer's reader, for files in which a marker stands for None."""

    def __getitem__(self, key):
        return Deserializer(self.npz, self.path + key.strip("/") + "/")

    def __call__(self, key, value):
        array = self.npz[self.path + key.lstrip("/")]
        if array.dtype.kind == "U" and array.ndim == 0 and str(array) == _NONE:
            return None
        if getattr(value, "shape", ()) != array.shape and value is not None:
            raise ValueError(f"{self.path}{key}: expected shape {getattr(value, 'shape', ())}, got {array.shape}")
        return super().__call__(key, value)

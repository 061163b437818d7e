"""Arrays in an `.npz` file without pickle, and the JSON file beside it that says what they belong to.

The two are a pair. The description holds the checksum of the `.npz` file, and one of itself, that checksum included: so
damage to either is noticed, and neither fits another partner. The `.npz` file holds arrays alone, so that the same
training gives the same bytes.

They are replaced together. The new description is written under a name of its own, `STEM.next.json`; then the new
`.npz` takes the place of the old; then the description does. A save that is killed in between leaves an `.npz` whose
description is `STEM.next.json`, and there readers find it.

Chainer's own `save_npz` stores None as a pickled object and its `load_npz` unpickles; here None is a marker and nothing
is ever unpickled.
"""

import contextlib
import hashlib
import io
import json
import os

import chainer
import numpy as np

from branchynet.errors import OutputError, SnapshotError
from branchynet.gate import path as as_path
from branchynet.gate import shown
from branchynet.machine.files import replacing, write_through
from branchynet.machine.reading import BadFile, read_bytes, read_json, read_npz

# Format 1 knew no transform, no shape and no class names. Formats 1 and 2 have no checksum of the description: damage
# to one that leaves it JSON is noticed only where it no longer fits the network. Both are read all the same.
FORMAT = 3
_CHECKSUM, _OWN_CHECKSUM = "sha256", "description_sha256"
# Stands for None in the file; no weight or state of a trainer is this text.
_NONE = "<none>"


def paths_of(stem, error=SnapshotError):
    """The `.npz` and the `.json` file of a stem; an `error` if it is no path with a name."""
    expected = "a path with a name, without an ending"
    found = as_path(stem, error, expected)
    if not found.name or found.suffix in (".npz", ".json"):
        raise error(f"expected {expected}, got {shown(stem)}")
    return found.with_name(found.name + ".npz"), found.with_name(found.name + ".json")


def _next_to(json_path):
    return json_path.with_name(f"{json_path.name[: -len('.json')]}.next.json")


def write_pair(stem, arrays, description, provenance) -> None:
    """Writes arrays and their description; a pair that is there is replaced whole or not at all.

    Args:
        stem: path without an ending; its folder exists.
        arrays: {name: array}, without objects.
        description, provenance: JSON-able.

    Raises:
        OutputError: the files cannot be written, or JSON cannot say the description.
    """
    npz_path, json_path = paths_of(stem, OutputError)
    content = io.BytesIO()
    np.savez(content, **arrays)
    description = {"format": FORMAT, **description, "provenance": provenance or {}}
    description[_CHECKSUM] = hashlib.sha256(content.getbuffer()).hexdigest()
    try:
        description[_OWN_CHECKSUM] = _sha256_of(description)
    except (TypeError, ValueError) as error:
        raise OutputError(f"cannot write {json_path}: expected values that JSON knows: {error}") from error
    next_path = _next_to(json_path)
    with replacing(next_path, "w", encoding="utf-8") as handle:
        json.dump(description, handle, indent=1)
    try:
        with replacing(npz_path) as handle:
            handle.write(content.getbuffer())
        os.replace(next_path, json_path)
    except BaseException as error:
        # Readers look at it only where the description does not fit.
        if not _is_described_by(npz_path, next_path):
            with contextlib.suppress(OSError):
                next_path.unlink()
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {json_path}: {error.strerror or error}") from error
        raise
    write_through(json_path.parent)


def _is_described_by(npz_path, json_path):
    with contextlib.suppress(BadFile, AttributeError):
        return read_json(json_path).get(_CHECKSUM) == hashlib.sha256(read_bytes(npz_path)).hexdigest()
    return False


def read_pair(stem, what) -> tuple:
    """What `write_pair` wrote.

    Args:
        stem: path without an ending.
        what: what it holds, for messages.

    Returns:
        (description, {name: array})

    Raises:
        SnapshotError: the files are missing, damaged, of a later format, or do not belong together.
    """
    npz_path, json_path = paths_of(stem)
    try:
        content = read_bytes(npz_path)
    except BadFile as error:
        expected = f"expected {npz_path.name} and {json_path.name} in {npz_path.parent}"
        raise SnapshotError(f"{what}: {expected}: {error}") from error
    digest = hashlib.sha256(content).hexdigest()
    try:
        description = _description_in(json_path, npz_path, digest, what)
    except SnapshotError:
        next_path = _next_to(json_path)
        if not next_path.exists():
            raise
        description = _description_in(next_path, npz_path, digest, what)
    try:
        return description, read_npz(npz_path, content)
    except BadFile as error:
        raise SnapshotError(f"{what}: {error}") from error


def _description_in(json_path, npz_path, digest, what):
    """The description in a file, if it is that of the `.npz` file with this checksum."""
    try:
        description = read_json(json_path)
    except BadFile as error:
        expected = f"expected {npz_path.name} and {json_path.name} in {npz_path.parent}"
        raise SnapshotError(f"{what}: {expected}: {error}") from error
    version = description.get("format") if isinstance(description, dict) else type(description).__name__
    if type(version) is not int or not 1 <= version <= FORMAT:
        hint = ": a later version of this library wrote it" if type(version) is int and version > FORMAT else ""
        raise SnapshotError(f"{what}: {json_path}: expected format 1 to {FORMAT}, got {version!r}{hint}")
    own = description.pop(_OWN_CHECKSUM, None)
    if (own is not None or version == FORMAT) and own != _sha256_of(description):
        raise SnapshotError(f"{what}: {json_path} is damaged: it is not what was saved ({_OWN_CHECKSUM} differs)")
    if digest != description.get(_CHECKSUM):
        raise SnapshotError(f"{what}: {npz_path} is not the file that {json_path.name} describes (sha256 differs)")
    return description


def _sha256_of(description):
    """Of what it says, not of how it is written: the order of keys and spaces do not count."""
    as_read = json.loads(json.dumps(description, allow_nan=False))
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def arrays_of(target) -> dict:
    """{name: array} of the state of a link or trainer; a marker stands for None."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(target)
    return {key: np.array(_NONE) if array.dtype == object else array for key, array in serializer.target.items()}


def read_link(path, arrays, link, more=()) -> None:
    """Puts saved arrays into a link, all of them or, with an error, none.

    Args:
        path: of their file, for messages.
        arrays: {name: array}.
        link: an initialised link.
        more: beginnings of the names that may be there besides.

    Raises:
        SnapshotError: an array is missing, of another shape or type or not finite, or one is there that is not known.
    """
    expected = arrays_of(link)
    for name, own in expected.items():
        _check_array(f"{path}: {name}", arrays.get(name), own)
    for name in sorted(arrays):
        if name not in expected and not name.startswith(tuple(more)):
            raise SnapshotError(f"{path} belongs to another network: expected no {name}, got it")
    read_into(path, arrays, link)


def read_into(path, arrays, target) -> None:
    """Puts saved arrays into a link or trainer, one after the other; SnapshotError if one is missing or unfit."""
    try:
        Deserializer(arrays).load(target)
    except KeyError as error:
        raise SnapshotError(f"{path} belongs to another network or run: it holds no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise SnapshotError(f"{path} is damaged or belongs to another network: {error}") from error


def _check_array(where, array, own):
    """Raises SnapshotError unless a saved array can take the place of a link's own."""
    if array is None:
        raise SnapshotError(f"{where}: expected an array of that name, got none: it belongs to another network or run")
    if own.dtype.kind == "U":  # None: a parameter whose shape is open
        return
    if array.shape != own.shape or not np.can_cast(array.dtype, own.dtype, "same_kind"):
        expected = f"expected {own.dtype} of shape {own.shape}"
        raise SnapshotError(f"{where} belongs to another network: {expected}, got {array.dtype} of shape {array.shape}")
    with np.errstate(over="ignore"):
        if not np.isfinite(array.astype(own.dtype)).all():
            raise SnapshotError(f"{where}: expected finite numbers, got NaN or infinity")


class Deserializer(chainer.serializers.NpzDeserializer):
    """Chainer's reader, for arrays among which a marker stands for None."""

    def __getitem__(self, key):
        return Deserializer(self.npz, self.path + key.strip("/") + "/")

    def __call__(self, key, value):
        array = self.npz[self.path + key.lstrip("/")]
        if array.dtype.kind == "U" and array.ndim == 0 and str(array) == _NONE:
            return None
        if getattr(value, "shape", ()) != array.shape and value is not None:
            raise ValueError(f"{self.path}{key}: expected shape {getattr(value, 'shape', ())}, got {array.shape}")
        return super().__call__(key, value)

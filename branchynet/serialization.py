"""Weights, snapshots and fitted measures as `.npz` without pickle, each with a JSON description of what it belongs to.

Chainer's own `save_npz` stores None as a pickled object and its `load_npz` unpickles; here None is a marker and
nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import pathlib
import zipfile

import chainer
import numpy as np

from branchynet.confidence import measure_class
from branchynet.errors import SnapshotError
from branchynet.files import replacing

FORMAT = 1
# Stands for None in the file; no weight or state of a trainer is this text.
_NONE = "<none>"
_DESCRIPTION_KEY = "description.json"


def save_weights(net, stem, provenance=None) -> None:
    """Writes `STEM.npz` (parameters and running statistics) and `STEM.json` (what they belong to).

    Args:
        net: a `BranchyNet`.
        stem: path without an ending; its folder exists.
        provenance: JSON-able, how the weights came about (command, seed, history, ...).

    Raises:
        OutputError: the files cannot be written.
    """
    npz_path, json_path = _paths(stem)
    _write_arrays(npz_path, net)
    description = {"architecture": net.describe(), "loss_weights": list(net.loss_weights)}
    _write_description(npz_path, json_path, description, provenance)


def load_weights(net, stem) -> dict:
    """Reads what `save_weights` wrote into `net`, in place, on whatever device it is.

    Returns:
        the description, provenance included.

    Raises:
        SnapshotError: the files are missing, damaged, do not belong together, or belong to another network.
    """
    npz_path, json_path = _paths(stem)
    description = _read_description(npz_path, json_path, "weights")
    check_architecture(npz_path, description.get("architecture"), net)
    _read_arrays(npz_path, net)
    return description


def load_main_network(net, stem) -> dict:
    """Reads trunk and last exit only; the branches of `net` stay as they are, and those saved may be others.

    So new branches, or the same ones at other places, start from a trained network.

    Args:
        net: an initialised `BranchyNet`.
        stem: of what `save_weights` wrote.

    Returns:
        the description, provenance included.

    Raises:
        SnapshotError: the files are missing, damaged, do not belong together, or hold another main network.
    """
    npz_path, json_path = _paths(stem)
    description = _read_description(npz_path, json_path, "weights")
    saved = _main_lines(description.get("architecture"))
    expected = _main_lines(net.describe())
    if saved != expected:
        ours, theirs = next(pair for pair in itertools.zip_longest(expected, saved) if pair[0] != pair[1])
        raise SnapshotError(f"{npz_path} holds another main network: expected {ours}, got {theirs}")
    with _open_arrays(npz_path) as arrays:
        # Branches elsewhere cut the same layers into other stages; their order is the same.
        for (stage, number), (own_stage, own_number) in zip(_places_in_trunk(arrays), _places_in_trunk(_keys(net))):
            layer = net.trunk[own_stage][own_number]
            _read_into(npz_path, _Deserializer(arrays, f"trunk/{stage}/{number}/"), layer)
        last = len(description["architecture"]) - 1
        _read_into(npz_path, _Deserializer(arrays, f"exits/{last}/"), net.exits[-1])
    return description


def _main_lines(architecture):
    """The lines of the trunk's layers and of the last exit."""
    if not isinstance(architecture, list) or not architecture:
        return []
    return [*(line for entry in architecture for line in entry["stage"]), *architecture[-1]["branch"]]


def _places_in_trunk(keys):
    """(stage, layer) of every layer with parameters, from keys of the form trunk/STAGE/LAYER/..., in order."""
    return sorted({tuple(map(int, key.split("/")[1:3])) for key in keys if key.startswith("trunk/")})


def save_measure(measure, stem, provenance=None) -> None:
    """Writes `STEM.npz` (what a confidence measure has learned) and `STEM.json` (which measure, and its settings).

    Args:
        measure: a `branchynet.confidence.Measure`; a fitted one, if it is one that is fitted.
        stem: path without an ending; its folder exists.
        provenance: JSON-able, what it was fitted to.

    Raises:
        NotFittedError: there is nothing to save yet.
        OutputError: the files cannot be written.
    """
    npz_path, json_path = _paths(stem)
    arrays = measure.arrays()
    with replacing(npz_path) as handle:
        np.savez(handle, **arrays)
    _write_description(npz_path, json_path, {"measure": measure.describe()}, provenance)


def load_measure(stem):
    """The measure that `save_measure` wrote; one of your own must have been registered before.

    Returns:
        a `branchynet.confidence.Measure`.

    Raises:
        SnapshotError: the files are missing, damaged, do not belong together, or hold no measure.
        MeasureError: no measure of that name is registered, or its settings or arrays are of another form.
    """
    npz_path, json_path = _paths(stem)
    description = _read_description(npz_path, json_path, "measure").get("measure")
    if not isinstance(description, dict) or not {"name", "settings"} <= set(description):
        raise SnapshotError(f"measure: expected the description of a measure in {json_path}, got another one")
    with _open_arrays(npz_path) as arrays:
        return measure_class(description["name"]).from_arrays(description["settings"], dict(arrays))


def save_snapshot(trainer, path, description) -> None:
    """Writes the whole state of a Chainer Trainer and the description of its run into one file.

    Args:
        trainer: a `chainer.training.Trainer`.
        path: ends in .npz.
        description: JSON-able; `load_snapshot` gives it back.

    Raises:
        OutputError: the file cannot be written; an older snapshot stays as it was.
    """
    _write_arrays(path, trainer, {_DESCRIPTION_KEY: np.array(json.dumps(description))})


def read_snapshot_description(path) -> dict:
    """The description that a snapshot was saved with.

    Raises:
        SnapshotError: there is no readable snapshot at that path.
    """
    with _open_arrays(path) as arrays:
        if _DESCRIPTION_KEY not in arrays:
            raise SnapshotError(f"{path}: expected a snapshot of a training run, got another .npz file")
        return json.loads(str(arrays[_DESCRIPTION_KEY]))


def load_snapshot(trainer, path) -> None:
    """Puts a Trainer, its models and its optimizers into the state that `save_snapshot` saved.

    Raises:
        SnapshotError: the snapshot is damaged or belongs to another network.
    """
    _read_arrays(path, trainer)


def check_architecture(path, saved, net) -> None:
    """Raises SnapshotError, naming the first difference, unless `saved` describes the architecture of `net`."""
    expected = net.describe()
    if saved == expected:
        return
    if not isinstance(saved, list) or len(saved) != len(expected):
        found = len(saved) if isinstance(saved, list) else "no"
        raise SnapshotError(f"{path} belongs to another network: expected {len(expected)} exits, got {found}")
    for number, (ours, theirs) in enumerate(zip(expected, saved), start=1):
        for part in ("stage", "branch"):
            if ours[part] != theirs.get(part):
                raise SnapshotError(
                    f"{path} belongs to another network: at exit {number}, {part}: "
                    f"expected {ours[part]}, got {theirs.get(part)}"
                )


def _paths(stem):
    stem = pathlib.Path(stem)
    return stem.with_name(stem.name + ".npz"), stem.with_name(stem.name + ".json")


def _write_description(npz_path, json_path, description, provenance):
    """Writes what an .npz file belongs to; its checksum ties the two together."""
    digest = hashlib.sha256(npz_path.read_bytes()).hexdigest()
    description = {"format": FORMAT, **description, "sha256": digest, "provenance": provenance or {}}
    with replacing(json_path, "w", encoding="utf-8") as handle:
        json.dump(description, handle, indent=1)


def _read_description(npz_path, json_path, what):
    try:
        description = json.loads(json_path.read_text(encoding="utf-8"))
        digest = hashlib.sha256(npz_path.read_bytes()).hexdigest()
    except OSError as error:
        raise SnapshotError(
            f"{what}: expected {npz_path.name} and {json_path.name} in {npz_path.parent}: {error}"
        ) from error
    except ValueError as error:
        raise SnapshotError(f"{what}: {json_path} is damaged: {error}") from error
    if digest != description.get("sha256"):
        raise SnapshotError(f"{what}: {npz_path} is not the file that {json_path.name} describes (sha256 differs)")
    return description


def _keys(target):
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(target)
    return list(serializer.target)


def _write_arrays(path, target, extra=None):
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(target)
    arrays = {key: np.array(_NONE) if array.dtype == object else array for key, array in serializer.target.items()}
    with replacing(path) as handle:
        np.savez(handle, **arrays, **(extra or {}))


def _read_arrays(path, target):
    with _open_arrays(path) as arrays:
        _read_into(path, _Deserializer(arrays), target)


def _read_into(path, deserializer, target):
    try:
        deserializer.load(target)
    except KeyError as error:
        raise SnapshotError(f"{path} belongs to another network or run: it holds no {error}") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise SnapshotError(f"{path} is damaged or belongs to another network: {error}") from error


def _open_arrays(path):
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


class _Deserializer(chainer.serializers.NpzDeserializer):
    """Chainer's reader, for files in which a marker stands for None."""

    def __getitem__(self, key):
        return _Deserializer(self.npz, self.path + key.strip("/") + "/")

    def __call__(self, key, value):
        array = self.npz[self.path + key.lstrip("/")]
        if array.dtype.kind == "U" and array.ndim == 0 and str(array) == _NONE:
            return None
        if getattr(value, "shape", ()) != array.shape and value is not None:
            raise ValueError(f"{self.path}{key}: expected shape {getattr(value, 'shape', ())}, got {array.shape}")
        return super().__call__(key, value)

"""Weights: `.npz` with parameters, running statistics and the transform's arrays, `.json` with what they belong to."""

from __future__ import annotations

import itertools

from branchynet.datasets.transforms import transform_from
from branchynet.errors import SnapshotError
from branchynet.serialization.arrays import (
    Deserializer,
    keys_of,
    open_arrays,
    paths_of,
    read_arrays,
    read_description_of,
    read_into,
    write_arrays,
    write_description,
)

# In front of the names of a transform's arrays.
_TRANSFORM = "transform/"


def save_weights(net, stem, provenance=None, transform=None, class_names=None) -> None:
    """Writes `STEM.npz` (parameters, running statistics, the transform's arrays) and `STEM.json` (what they belong to).

    Args:
        net: an initialised `BranchyNet`.
        stem: path without an ending; its folder exists.
        provenance: JSON-able, how the weights came about (command, seed, history, ...).
        transform: of `branchynet.datasets.transforms`, what the net was trained with; None if that is not known.
        class_names: one text for each class; None if they have no names.

    Raises:
        OutputError: the files cannot be written.
    """
    npz_path, json_path = paths_of(stem)
    learned = {} if transform is None else transform.arrays()
    write_arrays(npz_path, net, {f"{_TRANSFORM}{name}": array for name, array in learned.items()})
    description = {
        "architecture": net.describe(),
        "loss_weights": list(net.loss_weights),
        "sample_shape": None if net.sample_shape is None else list(net.sample_shape),
        "transform": None if transform is None else transform.name,
        "class_names": None if class_names is None else list(class_names),
    }
    write_description(npz_path, json_path, description, provenance)


def load_weights(net, stem) -> dict:
    """Reads what `save_weights` wrote into `net`, in place, on whatever device it is.

    Returns:
        the description, provenance included.

    Raises:
        SnapshotError: the files are missing, damaged, do not belong together, or belong to another network.
    """
    npz_path, json_path = paths_of(stem)
    description = read_description(stem)
    check_architecture(npz_path, description.get("architecture"), net)
    read_arrays(npz_path, net)
    return description


def read_description(stem) -> dict:
    """What weights belong to: the content of `STEM.json`, the checksum of `STEM.npz` compared.

    Raises:
        SnapshotError: the files are missing, damaged, or do not belong together.
    """
    return read_description_of(*paths_of(stem), "weights")


def load_transform(stem):
    """The transform that weights were saved with; None where that is not known.

    Raises:
        SnapshotError: the files are missing, damaged, or do not belong together.
        DataError: they hold no such transform.
    """
    name = read_description(stem).get("transform")
    if name is None:
        return None
    with open_arrays(paths_of(stem)[0]) as arrays:
        keys = [key for key in arrays if key.startswith(_TRANSFORM)]
        return transform_from(name, {key[len(_TRANSFORM) :]: arrays[key] for key in keys})


def load_plain_network(net, stem) -> dict:
    """Reads trunk and last exit only; the branches of `net` stay as they are, and those saved may be others.

    So new branches, or the same ones at other places, start from a trained network.

    Args:
        net: an initialised `BranchyNet`.
        stem: of what `save_weights` wrote.

    Returns:
        the description, provenance included.

    Raises:
        SnapshotError: the files are missing, damaged, do not belong together, or hold another plain network.
    """
    npz_path, description = paths_of(stem)[0], read_description(stem)
    saved = _plain_lines(description.get("architecture"))
    expected = _plain_lines(net.describe())
    if saved != expected:
        ours, theirs = next(pair for pair in itertools.zip_longest(expected, saved) if pair[0] != pair[1])
        raise SnapshotError(f"{npz_path} holds another plain network: expected {ours}, got {theirs}")
    with open_arrays(npz_path) as arrays:
        # Branches elsewhere cut the same layers into other stages; their order is the same.
        for (stage, number), (own_stage, own_number) in zip(_places_in_trunk(arrays), _places_in_trunk(keys_of(net))):
            layer = net.trunk[own_stage][own_number]
            read_into(npz_path, Deserializer(arrays, f"trunk/{stage}/{number}/"), layer)
        last = len(description["architecture"]) - 1
        read_into(npz_path, Deserializer(arrays, f"exits/{last}/"), net.exits[-1])
    return description


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


def _plain_lines(architecture):
    """The lines of the trunk's layers and of the last exit."""
    if not isinstance(architecture, list) or not architecture:
        return []
    return [*(line for entry in architecture for line in entry["stage"]), *architecture[-1]["branch"]]


def _places_in_trunk(keys):
    """(stage, layer) of every layer with parameters, from keys of the form trunk/STAGE/LAYER/..., in order."""
    return sorted({tuple(map(int, key.split("/")[1:3])) for key in keys if key.startswith("trunk/")})

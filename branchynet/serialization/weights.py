"""Weights: `.npz` with parameters, running statistics and the transform's arrays, `.json` with what they belong to."""

import itertools

import numpy as np

from branchynet.datasets.transforms import TRANSFORMS, transform_from
from branchynet.errors import OutputError, SnapshotError
from branchynet.gate import class_names as as_class_names
from branchynet.gate import is_shape, shown
from branchynet.net import check_net
from branchynet.serialization.arrays import arrays_of, paths_of, read_link, read_pair, write_pair

# In front of the names of a transform's arrays.
_TRANSFORM = "transform/"


def save_weights(net, stem, provenance=None, transform=None, class_names=None, dataset=None) -> None:
    """Writes `STEM.npz` (parameters, running statistics, the transform's arrays) and `STEM.json` (what they belong to).

    Args:
        net: an initialised `BranchyNet`.
        stem: path without an ending; its folder exists.
        provenance: JSON-able, how the weights came about (command, seed, history, ...).
        transform: of `branchynet.datasets.transforms`, what the net was trained with; None if that is not known.
        class_names: one text for each class; None if they have no names.
        dataset: JSON-able, what data the net was trained on, as `branchynet.datasets.Dataset.identity` says it; None if
            that is not known.

    Raises:
        NetworkError: it is no `BranchyNet`.
        OutputError: the files cannot be written, a weight is not finite, or what is said of the net is of another kind.
            An older pair of files stays as it was.
    """
    check_net(net)
    if not isinstance(transform, (*TRANSFORMS.values(), type(None))):
        raise OutputError(f"{shown(stem)}: expected a transform of {', '.join(TRANSFORMS)}, got {shown(transform)}")
    _check_forms(stem, {"dataset": dataset, "provenance": provenance}, OutputError)
    learned, arrays = {} if transform is None else transform.arrays(), arrays_of(net)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise OutputError(f"{stem}: expected finite weights, got NaN or infinity in {name}")
    description = {
        "architecture": net.describe(),
        "loss_weights": list(net.loss_weights),
        "sample_shape": None if net.sample_shape is None else list(net.sample_shape),
        "transform": None if transform is None else transform.name,
        "class_names": None if class_names is None else as_class_names(class_names, net.n_classes, OutputError),
        "dataset": dataset,
    }
    write_pair(stem, {**arrays, **{f"{_TRANSFORM}{name}": a for name, a in learned.items()}}, description, provenance)


def load_weights(net, stem) -> dict:
    """Reads what `save_weights` wrote into `net`, in place, on whatever device it is.

    Returns:
        the description, provenance included.

    Raises:
        NetworkError: it is no `BranchyNet`.
        SnapshotError: the files are missing, damaged, do not belong together, or belong to another network.
    """
    check_net(net)
    description, arrays = _read(stem)
    path = paths_of(stem)[0]
    check_architecture(path, description.get("architecture"), net)
    read_link(path, arrays, net, more=[_TRANSFORM])
    return description


def read_description(stem) -> dict:
    """What weights belong to: the content of `STEM.json`; both files are checked.

    Raises:
        SnapshotError: the files are missing, damaged, or do not belong together.
    """
    return _read(stem)[0]


def load_transform(stem):
    """The transform that weights were saved with; None where that is not known.

    Raises:
        SnapshotError: the files are missing, damaged, or do not belong together.
        DataError: they hold no such transform.
    """
    description, arrays = _read(stem)
    name = description.get("transform")
    if name is None:
        return None
    return transform_from(name, {k[len(_TRANSFORM) :]: v for k, v in arrays.items() if k.startswith(_TRANSFORM)})


def load_plain_network(net, stem) -> dict:
    """Reads trunk and last exit only; the branches of `net` stay as they are, and those saved may be others.

    So new branches, or the same ones at other places, start from a trained network.

    Args:
        net: an initialised `BranchyNet`.
        stem: of what `save_weights` wrote.

    Returns:
        the description, provenance included.

    Raises:
        NetworkError: it is no `BranchyNet`.
        SnapshotError: the files are missing, damaged, do not belong together, or hold another plain network.
    """
    check_net(net)
    description, arrays = _read(stem)
    path = paths_of(stem)[0]
    saved, expected = _plain_lines(description.get("architecture")), _plain_lines(net.describe())
    if saved != expected:
        ours, theirs = next(pair for pair in itertools.zip_longest(expected, saved) if pair[0] != pair[1])
        raise SnapshotError(f"{path} holds another plain network: expected {ours}, got {theirs}")
    # Branches elsewhere cut the same layers into other stages; their order is the same.
    plain = _renamed(arrays, f"exits/{len(description['architecture']) - 1}/", "last_exit/")
    for place, own in zip(_places_in_trunk(path, arrays), _places_in_trunk(path, arrays_of(net))):
        plain.update(_renamed(arrays, "trunk/{}/{}/".format(*place), "trunk/{}/{}/".format(*own)))
    read_link(path, plain, net.plain())
    return description


def check_architecture(path, saved, net) -> None:
    """Raises SnapshotError, naming the first difference, unless `saved` describes the architecture of `net`."""
    expected = net.describe()
    if saved == expected:
        return
    if not _is_architecture(saved) or len(saved) != len(expected):
        found = len(saved) if _is_architecture(saved) else "no"
        raise SnapshotError(f"{path} belongs to another network: expected {len(expected)} exits, got {found}")
    for number, (ours, theirs) in enumerate(zip(expected, saved), start=1):
        for part in ("stage", "branch"):
            if ours[part] != theirs[part]:
                raise SnapshotError(
                    f"{path} belongs to another network: at exit {number}, {part}: "
                    f"expected {ours[part]}, got {theirs[part]}"
                )


def _read(stem):
    """(description, arrays) of weights; what the description says is of the form that `save_weights` gives it."""
    description, arrays = read_pair(stem, "weights")
    _check_forms(stem, description, SnapshotError)
    return {"provenance": {}, **description}, arrays


def _check_forms(stem, description, error):
    for key, (is_fit, expected) in _FORMS.items():
        if description.get(key) is not None and not is_fit(description[key]):
            raise error(f"{paths_of(stem, error)[1]}: {key}: expected {expected}, got {shown(description[key])}")


def _is_architecture(value):
    return isinstance(value, list) and all(
        isinstance(entry, dict) and all(_is_texts(entry.get(part)) for part in ("stage", "branch")) for entry in value
    )


def _is_texts(value):
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


# {key of a description: (whether a value is of its form, what is expected)}; where it is None or not there, that is
# not known.
_FORMS = {
    "architecture": (_is_architecture, "a stage and a branch for each exit"),
    "sample_shape": (is_shape, "the shape of a sample"),
    "transform": (lambda value: isinstance(value, str), "the name of a transform"),
    "class_names": (_is_texts, "a list of texts"),
    "dataset": (lambda value: isinstance(value, dict), "a dictionary"),
    "provenance": (lambda value: isinstance(value, dict), "a dictionary"),
}


def _plain_lines(architecture):
    """The lines of the trunk's layers and of the last exit."""
    if not architecture:
        return []
    return [*(line for entry in architecture for line in entry["stage"]), *architecture[-1]["branch"]]


def _places_in_trunk(path, keys):
    """(stage, layer) of every layer with parameters, from keys of the form trunk/STAGE/LAYER/..., in order."""
    try:
        return sorted({tuple(map(int, key.split("/")[1:3])) for key in keys if key.startswith("trunk/")})
    except ValueError as error:
        raise SnapshotError(f"{path} is damaged: expected numbers of stages and layers: {error}") from error


def _renamed(arrays, beginning, other):
    return {other + key[len(beginning) :]: array for key, array in arrays.items() if key.startswith(beginning)}

"""What a snapshot belongs to: the phase of a run with its network, data, transform, start weights and settings."""

import dataclasses
import hashlib
import json

from numpy.random import default_rng

from branchynet import serialization
from branchynet.errors import SnapshotError
from branchynet.serialization.arrays import arrays_of


def describe_phase(phase, net, samples, transform, settings, augment=None, start=None) -> dict:
    """The description that a snapshot of a phase is saved with.

    Args:
        phase: "plain", "joint" or "longer".
        net: the initialised `BranchyNet` that is trained.
        samples: `branchynet.datasets.Samples` that it is trained on.
        transform: images uint8 -> float32; those of `branchynet.datasets.transforms` have a name and arrays.
        settings: `TrainingSettings`.
        augment: None, or (images uint8, numpy Generator) -> images uint8; what it makes of the first images tells it
            from another.
        start: the link whose weights the phase starts from, and a frozen part of which the snapshot does not hold; None
            where they follow from the seed.

    Returns:
        a dictionary, as JSON gives it back.
    """
    checksums = samples.sha256()
    described = dataclasses.asdict(settings)
    if not settings.average:
        del described["average"]  # snapshots that were made before there was one stay valid
    description = {
        "phase": phase,
        "n_samples": len(samples),
        "images_sha256": checksums["images"],
        "labels_sha256": checksums["labels"],
        "transform": getattr(transform, "name", None),
        "transform_sha256": _sha256(getattr(transform, "arrays", dict)()),
        "augmented_sha256": None if augment is None else _sha256({"": augment(samples.images[:8], default_rng(0))}),
        "start_weights_sha256": None if start is None else _sha256(arrays_of(start)),
        **described,
        "architecture": net.describe(),
    }
    return json.loads(json.dumps(description))


def check_same_phase(path, description, net) -> dict:
    """The description of a snapshot, which may say more than what it is compared with.

    Args:
        path: of the snapshot.
        description: what `describe_phase` gave.
        net: the `BranchyNet` that goes on from it.

    Raises:
        SnapshotError: it has another description; the first difference is named.
    """
    saved = serialization.read_snapshot_description(path)
    serialization.check_architecture(path, saved.get("architecture"), net)
    for key, expected in description.items():
        if saved.get(key) != expected:
            raise SnapshotError(f"{path} is of another run: {key}: expected {expected}, got {saved.get(key)}")
    return saved


def _sha256(arrays):
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

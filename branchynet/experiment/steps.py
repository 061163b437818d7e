"""The trained net of an experiment: from both steps, from step 2 on an earlier plain net, or from an earlier run."""

from __future__ import annotations

import dataclasses

from branchynet import records, serialization
from branchynet.errors import SnapshotError
from branchynet.inference import record_exits
from branchynet.training import train_joint, train_plain


def train(net, dataset, splits, transform, request, workers) -> dict:
    """Trains in two steps (paper, section III-B), or in the second one only, on the plain network of an earlier run.

    Args:
        net: an initialised `BranchyNet`; trained in place.
        dataset: `branchynet.datasets.Dataset`, whose class names are saved with the weights.
        splits: its `branchynet.datasets.Splits`.
        transform: images uint8 -> float32.
        request: `Request`; its folder takes snapshots, logs and weights.
        workers: `branchynet.machine.workers.Workers` that share the work.

    Returns:
        dictionary: history, plain_accuracy_pct (test), settings, workers; plain_from, where step 1 was taken.

    Raises:
        SnapshotError: snapshots or the earlier run's weights are damaged, or belong to another network or data.
    """
    provenance = {"command": request.command, "seed": request.seed, "preset": request.preset}
    options = {"augment": request.augment, "resume": request.resume, "workers": workers}

    def save(name, provenance):
        if workers.is_first:
            serialization.save_weights(net, request.out / name, provenance, transform, dataset.class_names)

    taken = {}
    if request.plain_from is None:
        history = train_plain(net, splits, transform, request.plain_settings, request.out, **options)
        settings = dataclasses.asdict(request.plain_settings)
        provenance_of_plain = {**provenance, "step": "plain network trained alone"}
    else:
        history, settings, provenance_of_plain = _take_plain_network(net, request)
        taken = {"plain_from": provenance_of_plain}
    # Between the steps the last exit is the plain network: the branches are not trained yet.
    accuracy_pct = _last_exit_accuracy_pct(net, splits, transform)
    save("plain", provenance_of_plain)
    history = history + train_joint(net, splits, transform, request.joint_settings, request.out, **options)
    save("weights", {**provenance, "step": "joint training", "history": history})
    return {
        "history": history,
        "plain_accuracy_pct": accuracy_pct,
        "settings": {"plain": settings, "joint": dataclasses.asdict(request.joint_settings)},
        "workers": workers.size,
        **taken,
    }


def take_earlier(net, splits, transform, request) -> dict:
    """What `train` returns, from the weights and records that an earlier run left in the folder `request.weights`;
    `net` gets its weights.

    Raises:
        SnapshotError: weights or record are missing, damaged or of another network, or were made for other images.
    """
    folder = request.weights
    serialization.load_weights(net, folder / "plain")
    accuracy_pct = _last_exit_accuracy_pct(net, splits, transform)
    description = serialization.load_weights(net, folder / "weights")
    earlier = _read_run(folder, request)
    return {
        "history": description["provenance"]["history"],
        "plain_accuracy_pct": accuracy_pct,
        "settings": earlier["training_settings"],
        "workers": earlier["training_workers"],
        "plain_from": earlier["plain_from"],
        "run": {key: earlier[key] for key in ("command", "preset", "seed", "environment")},
    }


def _last_exit_accuracy_pct(net, splits, transform):
    test = record_exits(net, transform(splits.test.images), splits.test.labels)
    return 100 * float(test.exit_accuracies()[-1])


def _take_plain_network(net, request):
    """Step 1 from an earlier run's folder: its history, its settings and where its weights come from."""
    provenance = serialization.load_plain_network(net, request.plain_from / "plain")["provenance"]
    earlier = _read_run(request.plain_from, request)
    history = [entry for entry in earlier["history"] if entry["phase"] == "plain"]
    return history, earlier["training_settings"]["plain"], provenance


def _read_run(folder, request):
    """The record of an earlier run, which must have seen the same data set, prepared by the same transform."""
    try:
        earlier = records.read_run(folder / "run.json")
    except (OSError, ValueError) as error:
        raise SnapshotError(f"weights: expected the record of the run that made them: {error}") from error
    for name in ("dataset", "transform"):
        found = earlier["arguments"].get(name)
        if found != getattr(request, name):
            raise SnapshotError(f"weights: {folder} is of a run with --{name} {found}; give the same, or other weights")
    return earlier

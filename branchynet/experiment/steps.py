"""The trained net of an experiment: from both steps, from step 2 on an earlier plain net, or from an earlier run.

Beside it the plain network trained as long, which the branchy one is compared with.
"""

import dataclasses

from branchynet import records, serialization
from branchynet.errors import SnapshotError
from branchynet.experiment.recorded import shown_logits
from branchynet.machine.devices import get_device
from branchynet.net import BranchyNet
from branchynet.training import TrainingSettings, train_joint, train_longer, train_plain


def train(net, dataset, splits, transform, request, workers) -> tuple:
    """Trains in two steps (paper, section III-B), or in the second one only, on the plain network of an earlier run.

    Args:
        net: an initialised `BranchyNet`; trained in place.
        dataset: `branchynet.datasets.Dataset`, whose class names are saved with the weights.
        splits: its `branchynet.datasets.Splits`.
        transform: images uint8 -> float32.
        request: `Request`; its folder takes snapshots, logs and weights.
        workers: `branchynet.machine.workers.Workers` that share the work.

    Returns:
        (dictionary, longer). Dictionary: history, plain_accuracy_pct (test, after step 1), settings, workers, and
        plain_from if step 1 was taken. longer: the `BranchyNet` whose plain network was trained as long.

    Raises:
        SnapshotError: snapshots or the earlier run's weights are damaged, or belong to another network or data.
    """
    provenance = _provenance(request)
    options = {"augment": request.augment, "resume": request.resume, "workers": workers}

    def save(name, provenance):
        _save(net, name, provenance, request, transform, dataset, workers)

    taken = {}
    if request.plain_from is None:
        history = train_plain(net, splits, transform, request.plain_settings, request.out, **options)
        settings = dataclasses.asdict(request.plain_settings)
        provenance_of_plain = {**provenance, "step": "plain network trained alone"}
    else:
        history, settings, provenance_of_plain = _take_plain_network(net, dataset, request)
        taken = {"plain_from": provenance_of_plain}
    # Between the steps the last exit is the plain network: the branches are not trained yet.
    accuracy_pct = _last_exit_accuracy_pct(net, splits, transform)
    save("plain", provenance_of_plain)
    history = history + train_joint(net, splits, transform, request.joint_settings, request.out, **options)
    save("weights", {**provenance, "step": "joint training", "history": history})
    longer, history_of_longer = _train_longer(
        request.out, request.joint_settings, request.augment, dataset, splits, transform, request, workers
    )
    training = {
        "history": history + history_of_longer,
        "plain_accuracy_pct": accuracy_pct,
        "settings": {"plain": settings, "joint": dataclasses.asdict(request.joint_settings)},
        "workers": workers.size,
        **taken,
    }
    return training, longer


def take_earlier(net, dataset, splits, transform, request, workers) -> tuple:
    """What `train` returns, from the weights and records that an earlier run left in the folder `request.weights`;
    `net` gets its weights. If that run trained no plain network as long, it is trained now.

    Raises:
        SnapshotError: weights or record are missing, damaged or of another network, or were made for other images.
    """
    folder = request.weights
    serialization.load_weights(net, folder / "plain")
    accuracy_pct = _last_exit_accuracy_pct(net, splits, transform)
    description = serialization.load_weights(net, folder / "weights")
    earlier = _read_run(folder, request)
    _check_trained_on(dataset, folder / "weights", description)
    if earlier.get("weights_sha256", {}).get("weights") not in (None, description["sha256"]):
        raise SnapshotError(f"{folder}: expected the record of the run that made the weights, got another run's")
    if (folder / "longer.npz").exists():
        longer = _new_net(request, splits, transform)
        history_of_longer = serialization.load_weights(longer, folder / "longer")["provenance"]["history"]
    else:
        settings = TrainingSettings(**earlier["training_settings"]["joint"])
        augment = None if earlier["preset"] == "paper" else request.augment
        longer, history_of_longer = _train_longer(
            folder, settings, augment, dataset, splits, transform, request, workers
        )
    training = {
        "history": description["provenance"]["history"] + history_of_longer,
        "plain_accuracy_pct": accuracy_pct,
        "settings": earlier["training_settings"],
        "workers": earlier["training_workers"],
        "plain_from": earlier["plain_from"],
        "run": {
            **{key: earlier[key] for key in ("command", "preset", "seed", "environment")},
            "tuned_on_test": earlier.get("tuned_on_test", []),
        },
    }
    return training, longer


def _train_longer(folder, joint_settings, augment, dataset, splits, transform, request, workers):
    """A net whose plain network was trained on from the weights of step 1 in a folder, with the settings of step 2."""
    net = _new_net(request, splits, transform)
    serialization.load_plain_network(net, folder / "plain")
    settings = dataclasses.replace(joint_settings, weighting=None, loss_weights=None, keep=1.0, freeze_trunk=False)
    options = {"augment": augment, "resume": request.resume, "workers": workers}
    history = train_longer(net, splits, transform, settings, request.out, **options)
    provenance = {**_provenance(request), "step": "plain network trained on, as long as step 2", "history": history}
    _save(net, "longer", provenance, request, transform, dataset, workers)
    return net, history


def _new_net(request, splits, transform):
    net = BranchyNet(request.network.build())
    net.initialise(transform(splits.train.images[:1]).shape[1:])
    net.to_device(get_device(request.device))
    return net


def _provenance(request):
    return {"command": request.command, "seed": request.seed, "preset": request.preset}


def _save(net, name, provenance, request, transform, dataset, workers):
    if workers.is_first:
        names, identity = dataset.class_names, dataset.identity()
        serialization.save_weights(net, request.out / name, provenance, transform, names, identity)


def _last_exit_accuracy_pct(net, splits, transform):
    logits = shown_logits(net, transform(splits.test.images), "plain network, test images")
    return 100 * float((logits[-1].argmax(axis=1) == splits.test.labels).mean())


def _check_trained_on(dataset, stem, description):
    """Raises SnapshotError if weights say that they were trained on other images."""
    trained_on = description.get("dataset")
    if trained_on not in (None, dataset.identity()):
        raise SnapshotError(f"{stem}: expected weights trained on {dataset.identity()}, got some of {trained_on}")


def _take_plain_network(net, dataset, request):
    """Step 1 from an earlier run's folder: its history, its settings and where its weights come from."""
    description = serialization.load_plain_network(net, request.plain_from / "plain")
    _check_trained_on(dataset, request.plain_from / "plain", description)
    provenance = description["provenance"]
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

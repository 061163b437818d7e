"""The trained net of an experiment: from both steps, from step 2 on an earlier main network, or from an earlier run."""

from __future__ import annotations

import dataclasses

from branchynet import records, serialization
from branchynet.errors import SnapshotError
from branchynet.inference import record_exits
from branchynet.training import train_joint, train_main


def settings_of_steps(experiment, arguments) -> tuple:
    """The `TrainingSettings` of both steps: the preset's, with what the command line says instead."""
    preset = experiment.presets[arguments.preset]
    joint = dataclasses.replace(
        _override(preset.joint, arguments, arguments.epochs_joint),
        weighting=arguments.weighting,
        loss_weights=None if arguments.loss_weights is None else tuple(arguments.loss_weights),
        trains="heads" if arguments.heads_only else "joint",
    )
    return _override(preset.main, arguments, arguments.epochs_main), joint


def _override(settings, arguments, epochs):
    changes = {"seed": arguments.seed}
    if epochs is not None:
        changes["epochs"] = epochs
    if arguments.batch_size is not None:
        changes["batch_size"] = arguments.batch_size
    return dataclasses.replace(settings, **changes)


def train(net, data, prepared, main_settings, joint_settings, arguments, out, processes) -> dict:
    """Trains in two steps (paper, section III-B), or in the second one only, on the main network of an earlier run.

    Args:
        net: an initialised `BranchyNet`; trained in place.
        data: `branchynet.training.Data`.
        prepared: `branchynet.analysis.Prepared`.
        main_settings, joint_settings: what `settings_of_steps` gave.
        arguments: of the command line.
        out: folder that takes snapshots, logs and weights.
        processes: `branchynet.processes.Processes` that share the work.

    Returns:
        dictionary: history, baseline_accuracy_pct (test), settings, processes; baseline_from, where step 1 was taken.

    Raises:
        SnapshotError: snapshots or the earlier run's weights are damaged, or belong to another network or data.
    """
    provenance = {"command": arguments.command, "seed": arguments.seed, "preset": arguments.preset}
    if arguments.baseline is None:
        history = train_main(net, data, main_settings, out, arguments.resume, processes=processes)
        settings, taken = dataclasses.asdict(main_settings), {}
        provenance_of_main = {**provenance, "step": "main network trained alone"}
    else:
        history, settings, provenance_of_main = _take_main_network(arguments, net)
        taken = {"baseline_from": provenance_of_main}
    # Between the steps the last exit is the plain network: the branches are not trained yet.
    plain_records = record_exits(net, prepared.test_x, prepared.test_labels)
    if processes.is_first:
        serialization.save_weights(net, out / "baseline", provenance_of_main)

    history = history + train_joint(net, data, joint_settings, out, arguments.resume, processes=processes)
    if processes.is_first:
        serialization.save_weights(net, out / "weights", {**provenance, "step": "joint training", "history": history})
    return {
        "history": history,
        "baseline_accuracy_pct": 100 * float(plain_records.exit_accuracies()[-1]),
        "settings": {"main": settings, "joint": dataclasses.asdict(joint_settings)},
        "processes": processes.size,
        **taken,
    }


def _take_main_network(arguments, net):
    """Step 1 from an earlier run's folder: its history, its settings and where its weights come from."""
    provenance = serialization.load_main_network(net, arguments.baseline / "baseline")["provenance"]
    earlier = _read_run(arguments.baseline, arguments)
    history = [entry for entry in earlier["history"] if entry["phase"] == "main"]
    return history, earlier["training_settings"]["main"], provenance


def take_earlier(arguments, net, prepared) -> dict:
    """What `train` returns, from the weights and records that an earlier run left in the folder `arguments.weights`;
    `net` gets its weights.

    Raises:
        SnapshotError: weights or record are missing, damaged or of another network, or were made for other images.
    """
    folder = arguments.weights
    serialization.load_weights(net, folder / "baseline")
    plain_records = record_exits(net, prepared.test_x, prepared.test_labels)
    description = serialization.load_weights(net, folder / "weights")
    earlier = _read_run(folder, arguments)
    return {
        "history": description["provenance"]["history"],
        "baseline_accuracy_pct": 100 * float(plain_records.exit_accuracies()[-1]),
        "settings": earlier["training_settings"],
        "processes": earlier.get("training_processes", 1),
        "baseline_from": earlier.get("baseline_from"),
        "run": {key: earlier[key] for key in ("command", "preset", "seed", "environment")},
    }


def _read_run(folder, arguments):
    """The record of an earlier run, which must have seen the same data set, prepared in the same way."""
    try:
        earlier = records.read_json(folder / "run.json")
    except (OSError, ValueError) as error:
        raise SnapshotError(f"weights: expected the record of the run that made them: {error}") from error
    for name in ("dataset", "preprocessing"):
        found = earlier["arguments"].get(name)
        if found != getattr(arguments, name):
            raise SnapshotError(f"weights: {folder} is of a run with --{name} {found}; give the same, or other weights")
    return earlier

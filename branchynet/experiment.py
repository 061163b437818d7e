"""The whole story of one experiment: data, both training steps, choosing T, measuring, table and figures.

A script in `experiments/` says which network, data and settings (`Experiment`), and hands over to `main`.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import time
import traceback
import typing

import numpy as np

from branchynet import analysis, datasets, plots, records, report, serialization, threads
from branchynet.command_line import parse_arguments
from branchynet.datasets.preprocessing import Normaliser, scale
from branchynet.devices import describe, get_device, to_host
from branchynet.errors import UserError
from branchynet.inference import record_exits, run
from branchynet.net import BranchyNet
from branchynet.processes import Processes, get_processes
from branchynet.thresholds import as_exit_rule
from branchynet.training import Data, JointLoss, TrainingSettings, train_joint, train_main

# Latency is timed on one thread: at batch 1 more threads only add noise, and the paper's clock is one core's.
TIMING_THREADS = 1
# An error that all processes meet is reported once, by the first, which then ends the others.
_FIRST_REPORTS_WITHIN_S = 1.0


@dataclasses.dataclass(frozen=True)
class Preset:
    """How long and how the two training steps run.

    Attributes:
        main, joint: `TrainingSettings` of the two steps.
        help: what to expect, for `--help`.
    """

    main: TrainingSettings
    joint: TrainingSettings
    help: str


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a script in `experiments/` says.

    Attributes:
        script: path of the script; its name names the folder of the results, `reference/` and `results/` lie beside it.
        network: name of the plain network; the branchy one is called "B-" + network.
        build: (parsed arguments) -> network list.
        datasets: names of the data sets it runs on, the default first.
        presets: {name: Preset}, "standard" among them.
        threshold_grid: thresholds tried at every early exit, nats.
        options: (argparse parser) -> None, adds the script's own options.
        normalise: per-channel normalisation with the training set's mean and deviation; else pixels in [0, 1].
        variant: (parsed arguments) -> text that tells settings of the script's own options apart in folder names.
        augment: None, or (images uint8, numpy Generator) -> images uint8, applied in training by every preset but
            "paper".
        full_name: (parsed arguments) -> the network's name where the script's own options decide it.
    """

    script: pathlib.Path
    network: str
    build: typing.Callable
    datasets: tuple
    presets: dict
    threshold_grid: tuple
    options: typing.Callable | None = None
    normalise: bool = True
    variant: typing.Callable | None = None
    augment: typing.Callable | None = None
    full_name: typing.Callable | None = None


def main(experiment: Experiment, argv=None) -> int:
    """Runs an experiment from its command line.

    Args:
        experiment: what to run.
        argv: arguments without the program's name; those of the process by default.

    Returns:
        the exit status: 0, or 2 after an error that the user can mend, or 130 after Ctrl-C.
    """
    arguments = parse_arguments(experiment, argv)
    name, processes = experiment.script.name, Processes()
    try:
        processes = get_processes(on_gpu=arguments.device != "cpu")
        _run_experiment(experiment, arguments, processes)
        processes.wait()
    except KeyboardInterrupt:
        if processes.is_first:
            print(f"\n{name}: stopped; the same command with --resume goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, UserError):
            if not processes.is_first:
                time.sleep(_FIRST_REPORTS_WITHIN_S)
            print(f"{name}: error: {error}", file=sys.stderr, flush=True)
        elif processes.size == 1:
            raise
        else:
            traceback.print_exc()
        # The others may wait for this process for ever.
        status = 2 if isinstance(error, UserError) else 1
        processes.abort(status)
        return status
    return 0


def _run_experiment(experiment, arguments, processes):
    # Of several processes on a machine, each has a GPU of its own.
    several = processes.size > 1 and arguments.device == "gpu"
    device = get_device(f"gpu:{processes.rank_on_this_machine}" if several else arguments.device)
    device.use()
    out = pathlib.Path(arguments.out)
    records.prepare_output(out)
    reference = records.load_reference(experiment.script.parent / "reference")
    net = build_net(experiment, arguments, arguments.seed)
    if arguments.thresholds is not None:
        as_exit_rule(arguments.thresholds, net.n_exits)  # fails before hours of training, not after
    JointLoss.of(net, joint_settings(experiment, arguments))  # so does this

    material = Material.load(experiment, arguments)
    net.initialise(material.prepared.test_x.shape[1:])
    net.to_device(device)

    with threads.limited(max(1, threads.usable_cores() // processes.on_this_machine)):
        training = _train(experiment, arguments, net, material, out, processes)
    if not processes.is_first:
        return
    with threads.limited(TIMING_THREADS):
        results = analysis.analyse(
            net, material.prepared, experiment.threshold_grid, arguments.thresholds, arguments.engine
        )

    run_record = _record(experiment, arguments, device, material.dataset, training, results)
    _write_results(out, run_record, reference, net, material)
    print(report.summary(run_record, reference, out))


@dataclasses.dataclass(frozen=True)
class Material:
    """What an experiment works with.

    Attributes:
        dataset: `branchynet.datasets.Dataset`.
        splits: its three parts.
        data: what is trained on, for `train_main` and `train_joint`.
        prepared: validation and test samples as the network takes them.
    """

    dataset: datasets.Dataset
    splits: datasets.Splits
    data: Data
    prepared: analysis.Prepared

    @classmethod
    def load(cls, experiment, arguments):
        """Loads and prepares the data set that the arguments name."""
        dataset = datasets.load(arguments.dataset, arguments.data_dir)
        splits = dataset.split()
        train, validation, test = splits.train, splits.validation, splits.test
        prepare = Normaliser.fit(train.images) if experiment.normalise else scale
        augment = experiment.augment if arguments.preset != "paper" else None
        return cls(
            dataset,
            splits,
            Data(train.images, train.labels, validation.images, validation.labels, prepare, augment),
            analysis.Prepared(prepare(validation.images), validation.labels, prepare(test.images), test.labels),
        )


def build_net(experiment, arguments, seed) -> BranchyNet:
    """The experiment's network with the initial weights that a seed draws."""
    np.random.seed(seed)  # noqa: NPY002  (Chainer draws initial weights from the global generator)
    return BranchyNet(experiment.build(arguments))


def _train(experiment, arguments, net, material, out, processes):
    """Both training steps; returns the history and the accuracy of the plain network between them."""
    data, prepared = material.data, material.prepared
    provenance = {"command": arguments.command, "seed": arguments.seed, "preset": arguments.preset}

    first_settings = main_settings(experiment, arguments)
    history = train_main(net, data, first_settings, out, arguments.resume, processes=processes)
    # Between the steps the last exit is the plain network: the branches are not trained yet.
    plain_records = record_exits(net, prepared.test_x, prepared.test_labels)
    if processes.is_first:
        serialization.save_weights(net, out / "baseline", {**provenance, "step": "main network trained alone"})

    second_settings = joint_settings(experiment, arguments)
    history = history + train_joint(net, data, second_settings, out, arguments.resume, processes=processes)
    if processes.is_first:
        serialization.save_weights(net, out / "weights", {**provenance, "step": "joint training", "history": history})
    return {
        "history": history,
        "baseline_accuracy_pct": 100 * float(plain_records.exit_accuracies()[-1]),
        "settings": {"main": dataclasses.asdict(first_settings), "joint": dataclasses.asdict(second_settings)},
        "processes": processes.size,
    }


def main_settings(experiment, arguments) -> TrainingSettings:
    """The settings of step 1: the preset's, with what the command line says instead."""
    return _override(experiment.presets[arguments.preset].main, arguments, arguments.epochs_main)


def joint_settings(experiment, arguments) -> TrainingSettings:
    """The settings of step 2: the preset's, with what the command line says instead."""
    settings = _override(experiment.presets[arguments.preset].joint, arguments, arguments.epochs_joint)
    changes = {}
    if arguments.weighting is not None:
        changes["weighting"] = arguments.weighting
    if arguments.loss_weights is not None:
        changes["loss_weights"] = tuple(arguments.loss_weights)
    if arguments.heads_only:
        changes["trains"] = "heads"
    return dataclasses.replace(settings, **changes)


def _override(settings, arguments, epochs):
    """The preset's settings with what the command line says instead."""
    changes = {"seed": arguments.seed}
    if epochs is not None:
        changes["epochs"] = epochs
    if arguments.batch_size is not None:
        changes["batch_size"] = arguments.batch_size
    return dataclasses.replace(settings, **changes)


def _record(experiment, arguments, device, dataset, training, results):
    """The record of the run: the keys are described in `branchynet.records`."""
    chainer_ms, baseline_ms = results.pop("chainer_ms"), results.pop("baseline_ms")
    network = experiment.full_name(arguments) if experiment.full_name else experiment.network
    joint_last_exit_pct = results["exits"][-1]["accuracy_pct"]["test"]
    return {
        "schema": records.SCHEMA,
        "network": network,
        "branchy_network": f"B-{network}",
        "dataset": dataset.name,
        "dataset_sha256": {"train": dataset.train.sha256(), "test": dataset.test.sha256()},
        "device": "cpu" if device.xp is np else "gpu",
        "preset": arguments.preset,
        "seed": arguments.seed,
        "command": arguments.command,
        "arguments": arguments.recorded,
        "training_settings": training["settings"],
        "training_processes": training["processes"],
        "environment": records.environment(describe(device), TIMING_THREADS),
        "baselines": [
            {
                "name": network,
                "training": "main network alone",
                "engine": results["engine"],
                "accuracy_pct": training["baseline_accuracy_pct"],
                "latency_ms": baseline_ms,
            },
            {
                "name": f"{network} (plain Chainer)",
                "training": "main network alone",
                "engine": "chainer",
                "accuracy_pct": training["baseline_accuracy_pct"],
                "latency_ms": chainer_ms,
            },
            {
                "name": f"{network} ({'heads only' if arguments.heads_only else 'joint'}, last exit only)",
                "training": f"{'heads on a frozen trunk' if arguments.heads_only else 'joint'}, branches removed",
                "engine": results["engine"],
                "accuracy_pct": joint_last_exit_pct,
                "latency_ms": baseline_ms,
            },
        ],
        **results,
        "history": training["history"],
    }


def _write_results(out, run_record, reference, net, material):
    records.check_run(run_record)
    records.write_json(out / "run.json", run_record)
    records.write_sweep(out / "sweep.csv", run_record)
    records.write_text(out / "table.md", report.table(run_record, reference))
    plots.tradeoff(run_record, reference, out / "tradeoff")
    plots.training(run_record, out / "training.png")
    answers = run(net, material.prepared.test_x, run_record["choice"]["thresholds"], batch_size=500)
    result = {
        "label": to_host(answers.labels),
        "exit": to_host(answers.exits),
        "entropy": to_host(answers.entropies),
        "n_exits": net.n_exits,
    }
    test = material.splits.test
    plots.exits(test.images, test.labels, result, out / "exits.png", material.dataset.class_names)
    plots.exit_share(run_record, out / "exit_share.png")

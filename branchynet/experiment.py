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

from branchynet import analysis, datasets, memory, plots, records, report, threads, trained
from branchynet.choosers import parse_goal
from branchynet.command_line import parse_arguments
from branchynet.datasets.preprocessing import Normaliser, scale
from branchynet.datasets.whitening import Whitener
from branchynet.devices import describe, get_device, to_host
from branchynet.errors import UserError
from branchynet.inference import run
from branchynet.net import BranchyNet
from branchynet.processes import Processes, get_processes
from branchynet.thresholds import as_exit_rule
from branchynet.trained import settings_of_steps
from branchynet.training import Data, JointLoss, TrainingSettings

# Latency is timed on one thread: at batch 1 more threads only add noise, and the paper's clock is one core's.
TIMING_THREADS = 1
# An error that all processes meet is reported once, by the first, which then ends the others.
_FIRST_REPORTS_WITHIN_S = 1.0


# From the training images to what prepares all images; "normalise" is per channel.
PREPROCESSINGS = {"scale": lambda images: scale, "normalise": Normaliser.fit, "zca": Whitener.fit}


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
        preprocessings: names in `PREPROCESSINGS`, the default first.
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
    preprocessings: tuple = ("normalise", "zca")
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
    np.random.seed(arguments.seed)  # noqa: NPY002  (Chainer draws initial weights from the global generator)
    net = BranchyNet(experiment.build(arguments))
    # What does not fit fails before hours of training, not after.
    main_settings, joint_settings = settings_of_steps(experiment, arguments)
    JointLoss.of(net, joint_settings)
    if arguments.thresholds is not None:
        as_exit_rule(arguments.thresholds, net.n_exits)
    if arguments.choose is not None:
        parse_goal(arguments.choose).check(net.n_exits)

    dataset = datasets.load(arguments.dataset, arguments.data_dir)
    splits = dataset.split()
    prepare = PREPROCESSINGS[arguments.preprocessing](splits.train.images)
    net.initialise(prepare(splits.train.images[:1]).shape[1:])
    net.to_device(device)
    prepared = analysis.Prepared(
        prepare(splits.validation.images), splits.validation.labels, prepare(splits.test.images), splits.test.labels
    )

    with threads.limited(max(1, threads.usable_cores() // processes.on_this_machine)):
        if arguments.weights is not None:
            training = trained.take_earlier(arguments, net, prepared)
        else:
            memory.keep_freed_memory()
            augment = experiment.augment if arguments.preset != "paper" else None
            train, validation = splits.train, splits.validation
            data = Data(train.images, train.labels, validation.images, validation.labels, prepare, augment)
            training = trained.train(net, data, prepared, main_settings, joint_settings, arguments, out, processes)
    if not processes.is_first:
        return
    with threads.limited(TIMING_THREADS):
        results = analysis.analyse(
            net, prepared, experiment.threshold_grid, arguments.thresholds, arguments.engine, arguments.choose
        )

    run_record = _record(experiment, arguments, device, dataset, training, results)
    _write_results(out, run_record, reference, net, dataset, splits, prepared)
    print(report.summary(run_record, reference, out))


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
        "preset": training.get("run", vars(arguments))["preset"],
        "seed": training.get("run", vars(arguments))["seed"],
        "command": arguments.command,
        "arguments": arguments.recorded,
        "training_settings": training["settings"],
        "training_processes": training["processes"],
        # Where the weights come from, if not from this run.
        "trained_by": training.get("run"),
        "baseline_from": training.get("baseline_from"),
        "variant": experiment.variant(arguments) if experiment.variant else None,
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
                "name": f"{network} (joint, last exit only)",
                "training": "joint, branches removed",
                "engine": results["engine"],
                "accuracy_pct": joint_last_exit_pct,
                "latency_ms": baseline_ms,
            },
        ],
        **results,
        "history": training["history"],
    }


def _write_results(out, run_record, reference, net, dataset, splits, prepared):
    records.check_run(run_record)
    records.write_json(out / "run.json", run_record)
    records.write_sweep(out / "sweep.csv", run_record)
    records.write_text(out / "table.md", report.table(run_record, reference))
    plots.tradeoff(run_record, reference, out / "tradeoff")
    plots.training(run_record, out / "training.png")
    answers = run(net, prepared.test_x, run_record["choice"]["thresholds"], batch_size=500)
    result = {
        "label": to_host(answers.labels),
        "exit": to_host(answers.exits),
        "entropy": to_host(answers.entropies),
        "n_exits": net.n_exits,
    }
    plots.exits(splits.test.images, splits.test.labels, result, out / "exits.png", dataset.class_names)
    plots.exit_share(run_record, out / "exit_share.png")

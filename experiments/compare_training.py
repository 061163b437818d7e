"""Does joint training help, and which way of weighing the exits is best? One small table, on one network.

All variants start from the same trained plain network: the paper's loss weights, equal weights, the last exit alone,
the early exits alone on the frozen trunk, and every other weighting of the library. They are trained as the network's
experiment does it in its second step. A run that was stopped goes on where it was.
"""

import argparse
import dataclasses
import itertools
import shlex
import sys

import alexnet_cifar10
import lenet_mnist
import numpy as np
from future.ways_to_train import ways_to_train

from branchynet import BranchyNet, datasets, load_plain_network, records
from branchynet.datasets import TRANSFORMS
from branchynet.experiment import add_quiet, nonempty_path, seed_number, whole_number, writing_into
from branchynet.experiment.recorded import shown_exits
from branchynet.inference.plan import make_plan
from branchynet.machine import memory, terminal, threads
from branchynet.machine.devices import get_device
from branchynet.machine.ending import exit_status_of_workers
from branchynet.machine.workers import Workers
from branchynet.serialization import load_transform, read_description
from branchynet.thresholds import ExitCosts, choose_thresholds, parse_goal
from branchynet.training import WEIGHTINGS, train_joint
from networks import zoo

SCHEMA = 2
SCRIPT = "compare_training.py"
# name of the network: (the experiment whose settings and augmentation it is trained with, epochs)
NETWORKS = {"lenet": (lenet_mnist.EXPERIMENT, 6), "alexnet-paper": (alexnet_cifar10.EXPERIMENT, 4)}


def variants(n_exits) -> dict:
    """{name: changes to the settings of joint training}."""
    return {
        "joint, the paper's loss weights": {},
        "joint, equal loss weights": {"loss_weights": (1.0,) * n_exits},
        "the plain network alone, as long": {"loss_weights": (*(0.0,) * (n_exits - 1), 1.0)},
        "separate: exits on the frozen trunk": {"freeze_trunk": True},
        "joint, averaged weights": {"average": 0.999},
        **{f"joint, {name}": {"weighting": name} for name in WEIGHTINGS.names()},
    }


def evaluate_variant(net, splits, transform) -> dict:
    """Accuracy of each exit on the test samples, and what the knee chosen on validation samples gives there.

    Args:
        net: a trained `BranchyNet`.
        splits: `branchynet.datasets.Splits`.
        transform: images uint8 -> float32.

    Returns:
        JSON-able {exit_accuracy_pct, thresholds, accuracy_pct, early_pct, multiply_adds: mean of a sample}.
    """
    validation = shown_exits(net, transform(splits.validation.images), splits.validation.labels, "validation images")
    test = shown_exits(net, transform(splits.test.images), splits.test.labels, "test images")
    costs = ExitCosts(np.array(make_plan(net).path_multiply_adds(), dtype=float), "multiply-adds")
    thresholds = choose_thresholds(validation, costs, parse_goal("knee")).thresholds
    outcome = test.evaluate([thresholds]).rows(costs)[0]
    return {
        "exit_accuracy_pct": (100 * test.exit_accuracies()).tolist(),
        "thresholds": list(thresholds),
        "accuracy_pct": outcome["accuracy_pct"],
        "early_pct": outcome["early_pct"],
        "multiply_adds": outcome["cost"],
    }


def train_variants(name, chosen, seeds, epochs, plain, data_dir, out, workers) -> dict:
    """Trains and evaluates variants of one network.

    Args:
        name: of `NETWORKS`.
        chosen: names of variants; None for all.
        seeds: each variant is trained from each of them.
        epochs: of each variant.
        plain: path, without an ending, of the weights of the plain network.
        data_dir: folder of the data set; None for the usual places.
        out: folder for snapshots, one folder in it a variant and seed.
        workers: `branchynet.machine.workers.Workers` that share the training.

    Returns:
        {name of the variant: list of results of `evaluate_variant`, one a seed}; empty but on the first worker.

    Raises:
        SnapshotError: the weights are missing, damaged, of another network, or were trained on other images.
    """
    network, experiment = zoo.get(name), NETWORKS[name][0]
    dataset = datasets.load(network.dataset, data_dir)
    dataset.check_trained_on(plain, read_description(plain).get("dataset"))
    splits = dataset.split()
    # What the plain network saw is what it goes on with; older weights do not say what that was.
    transform = load_transform(plain) or TRANSFORMS[network.transform].fit(splits.train.images)
    results = {}
    changes_of = variants(BranchyNet(network.build()).n_exits)
    all_of_them = list(itertools.product(chosen or changes_of, seeds))
    for variant, seed in terminal.counted("variants and seeds", all_of_them, "net"):
        joint = experiment.presets["standard"].joint
        settings = dataclasses.replace(joint, epochs=epochs, seed=seed, **changes_of[variant])
        folder = out / f"{variant.replace(', ', '-').replace(': ', '-').replace(' ', '-')}-seed{seed}"
        training = (splits, transform, settings, folder, experiment.augment, workers)
        net = train_from_plain(network.build, plain, *training)
        if workers.is_first:
            results.setdefault(variant, []).append(evaluate_variant(net, splits, transform))
    return results


def train_from_plain(build, plain, splits, transform, settings, folder, augment=None, workers=None) -> BranchyNet:
    """Trains a branchy network from the weights of a plain one; the branches start anew. What was stopped goes on.

    Args:
        build: () -> network list.
        plain: path, without an ending, of the weights of the plain network.
        splits: `branchynet.datasets.Splits`.
        transform: images uint8 -> float32.
        settings: `TrainingSettings` of joint training; its seed draws the branches, too.
        folder: for log and snapshots; made if it is not there.
        augment: as of `branchynet.training.train_joint`.
        workers: `branchynet.machine.workers.Workers` that share the training; None for this process alone.

    Returns:
        the trained net.
    """
    workers = workers or Workers()
    if workers.is_first:
        records.prepare_output(folder)
    workers.wait()
    np.random.seed(settings.seed)  # noqa: NPY002  (Chainer draws initial weights from the global generator)
    net = BranchyNet(build(), transform(splits.train.images[:1]).shape[1:])
    load_plain_network(net, plain)
    train_joint(net, splits, transform, settings, folder, augment, resume=True, workers=workers)
    return net


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add, names = parser.add_argument, list(variants(0))
    add("--network", choices=list(NETWORKS), default="lenet", help="default: %(default)s")
    add("--variants", choices=names, nargs="+", metavar="NAME", help=f"default: all: {'; '.join(names)}")
    add("--seeds", type=seed_number, nargs="+", default=[0], metavar="N", help="default: 0")
    add("--epochs", type=whole_number(1), metavar="N", help="of each variant (default: the network's)")
    text = "weights of the plain network, a path without its ending (default: those released)"
    add("--plain-from", type=nonempty_path, metavar="STEM", help=text)
    add("--data-dir", type=nonempty_path, metavar="DIR", help="folder of the data set")
    add("--out", type=nonempty_path, required=True, metavar="DIR", help="for snapshots and the table")
    add_quiet(parser)
    return parser.parse_args(argv)


def _run(arguments, workers):
    """Trains, evaluates, and leaves record and table in the folder; the first worker prints."""
    name, chosen, seeds = arguments.network, arguments.variants, arguments.seeds
    epochs = arguments.epochs or NETWORKS[name][1]
    plain = arguments.plain_from or zoo.get(name).folder / "plain"
    memory.keep_freed_memory()
    with writing_into(arguments.out, workers) as out:
        with threads.limited(max(1, threads.usable_cores() // workers.on_this_machine)):
            results = train_variants(name, chosen, seeds, epochs, plain, arguments.data_dir, out, workers)
        if workers.is_first:
            words = [f"experiments/{SCRIPT}", "--network", name, "--epochs", str(epochs), "--seeds", *map(str, seeds)]
            record = {
                "schema": SCHEMA,
                "command": shlex.join(words + (["--variants", *chosen] if chosen else [])),
                "network": name,
                "plain_sha256": read_description(plain)["sha256"],
                "seeds": seeds,
                "epochs": epochs,
                "environment": records.environment(get_device("cpu")),
                "variants": [{"name": variant, "seeds": results[variant]} for variant in results],
            }
            records.write_json(out / "compare_training.json", record)
            table = ways_to_train(record) + "\n"
            records.write_text(out / "compare_training.md", table)
            print(table)
    workers.wait()


def main(argv=None):
    """Runs the comparison; returns the exit status."""
    arguments = parse_arguments(argv)
    stopped = "stopped; the same command goes on from here"
    return exit_status_of_workers(SCRIPT, lambda workers: _run(arguments, workers), stopped, arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())

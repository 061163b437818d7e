"""Does joint training help, and which way of weighing the exits is best? One small table, on one network.

All variants start from the same trained main network: the paper's loss weights, equal weights, the last exit alone, the
early exits alone on the frozen trunk, and every other weighting of the library. A run that was stopped goes on where
it was.
"""

import argparse
import dataclasses
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
import released

from branchynet import BranchyNet, datasets, load_main_network, memory, records, report, threads, thresholds
from branchynet.choosers import ExitCosts, choose_thresholds
from branchynet.command_line import exit_status, whole_number
from branchynet.datasets.augmentation import random_crop_and_flip, random_shift
from branchynet.devices import describe, get_device
from branchynet.experiment import PREPROCESSINGS
from branchynet.inference import record_exits
from branchynet.inference.plan import make_plan
from branchynet.processes import get_processes
from branchynet.training import Data, TrainingSettings, train_joint, weighting_names

# name: (what is released of it, settings of the step, change of training images)
NETWORKS = {
    "lenet": (
        released.NETWORKS["lenet"],
        TrainingSettings(epochs=6),
        lambda images, rng: random_shift(images, rng, max_shift=1),
    ),
    "alexnet": (
        released.NETWORKS["alexnet-paper"],
        TrainingSettings(epochs=4, batch_size=128, alpha=1e-3),
        random_crop_and_flip,
    ),
}


def variants(n_exits):
    """{name: changes to the settings of joint training}."""
    return {
        "joint, the paper's loss weights": {},
        "joint, equal loss weights": {"loss_weights": (1.0,) * n_exits},
        "the main network alone, as long": {"loss_weights": (*(0.0,) * (n_exits - 1), 1.0)},
        "separate: exits on the frozen trunk": {"trains": "heads"},
        **{f"joint, {name}": {"weighting": name} for name in weighting_names()},
    }


def evaluate_variant(net, data, x_validation, x_test, test_labels):
    """Accuracy of each exit on the test set, and what the knee chosen on validation gives there."""
    validation = record_exits(net, x_validation, data.validation_labels)
    test = record_exits(net, x_test, test_labels)
    costs = ExitCosts(np.array(make_plan(net, net.sample_shape).path_multiply_adds(), dtype=float), "multiply-adds")
    choice = choose_thresholds(validation, costs, "knee")
    evaluation = thresholds.evaluate(test, choice.thresholds)
    return {
        "exit_accuracy_pct": (100 * test.exit_accuracies()).tolist(),
        "thresholds": list(choice.thresholds),
        "accuracy_pct": 100 * evaluation.accuracy,
        "early_pct": 100 * (1 - evaluation.exit_shares[-1]),
        "multiply_adds": float(np.array(evaluation.exit_shares) @ costs.values),
    }


def train_variants(name, chosen, seeds, epochs, baseline, data_dir, out, processes):
    """Trains and evaluates the chosen variants, or all; returns {name of the variant: list of results, one a seed}."""
    network, settings, augment = NETWORKS[name]
    splits = datasets.load(network.dataset, data_dir).split()
    prepare = PREPROCESSINGS[network.preprocessing](splits.train.images)
    train, validation = splits.train, splits.validation
    data = Data(train.images, train.labels, validation.images, validation.labels, prepare, augment)
    x_validation, x_test = prepare(splits.validation.images), prepare(splits.test.images)
    results = {}
    changes_of = variants(BranchyNet(network.build()).n_exits)
    for variant in chosen or changes_of:
        changes = changes_of[variant]
        for seed in seeds:
            folder = out / f"{variant.replace(', ', '-').replace(': ', '-').replace(' ', '-')}-seed{seed}"
            if processes.is_first:
                records.prepare_output(folder)
            processes.wait()
            np.random.seed(seed)  # noqa: NPY002  (Chainer draws initial weights from the global generator)
            net = BranchyNet(network.build())
            net.initialise(x_test.shape[1:])
            load_main_network(net, baseline)  # the branches start anew, from this seed
            own = dataclasses.replace(settings, epochs=epochs or settings.epochs, seed=seed, **changes)
            train_joint(net, data, own, folder, resume=True, processes=processes)
            if processes.is_first:
                results.setdefault(variant, []).append(
                    evaluate_variant(net, data, x_validation, x_test, splits.test.labels)
                )
    return results


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="lenet", help="default: %(default)s")
    parser.add_argument(
        "--variants",
        choices=list(variants(0)),
        nargs="+",
        metavar="NAME",
        help=f"default: all: {'; '.join(variants(0))}",
    )
    parser.add_argument("--seeds", type=whole_number(0), nargs="+", default=[0], metavar="N", help="default: 0")
    parser.add_argument("--epochs", type=whole_number(1), metavar="N", help="of each variant (default: the network's)")
    parser.add_argument(
        "--baseline", type=pathlib.Path, metavar="STEM", help="weights of the main network (default: those released)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="for snapshots and the table")
    return parser.parse_args()


def _run(arguments):
    processes = get_processes()
    baseline = arguments.baseline or released.RELEASED / NETWORKS[arguments.network][0].folder / "baseline"
    memory.keep_freed_memory()
    with threads.limited(max(1, threads.usable_cores() // processes.on_this_machine)):
        results = train_variants(
            arguments.network,
            arguments.variants,
            arguments.seeds,
            arguments.epochs,
            baseline,
            arguments.data_dir,
            arguments.out,
            processes,
        )
    if processes.is_first:
        epochs = arguments.epochs or NETWORKS[arguments.network][1].epochs
        words = ["experiments/compare_training.py", "--network", arguments.network, "--epochs", str(epochs)]
        words += ["--seeds", *map(str, arguments.seeds)]
        record = {
            "command": shlex.join(words + (["--variants", *arguments.variants] if arguments.variants else [])),
            "network": arguments.network,
            "seeds": arguments.seeds,
            "epochs": epochs,
            "environment": records.environment(describe(get_device("cpu"))),
            "variants": [{"name": name, "seeds": results[name]} for name in results],
        }
        records.write_json(arguments.out / "compare_training.json", record)
        table = report.ways_to_train(record) + "\n"
        records.write_text(arguments.out / "compare_training.md", table)
        print(table)
    processes.wait()


def main():
    """Runs the comparison; returns the exit status."""
    arguments = parse_arguments()
    return exit_status("compare_training.py", lambda: _run(arguments), "stopped; the same command goes on from here")


if __name__ == "__main__":
    sys.exit(main())

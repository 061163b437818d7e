"""Ways to train the exits, all from one trained main network: does joint training help, as the paper says (section V)?

Each way, for each seed, goes on from the same weights with the same number of epochs. T is chosen on validation, by the
knee of accuracy against multiply-adds, so that a busy machine changes nothing; all figures are of the test samples.
Writes compare_training.json and compare_training.md, and a sub-folder with log and snapshot for each way and seed.
"""

import argparse
import math
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import alexnet_cifar10
import lenet_mnist
import numpy as np

from branchynet import load_weights, records, serialization, threads
from branchynet.command_line import add_provenance, add_shared_options, folder_name, whole_number
from branchynet.devices import describe, get_device
from branchynet.errors import UserError
from branchynet.experiment import Material, build_net, joint_settings, main_settings
from branchynet.inference import record_exits
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.report.table import markdown_table
from branchynet.thresholds import KNEE_RULE, evaluate, knee, sweep
from branchynet.training import train_joint, train_main, weighting_names

NETWORKS = {"lenet": lenet_mnist.EXPERIMENT, "alexnet": alexnet_cifar10.EXPERIMENT}
STEM = "compare_training"
# What the answer compares the paper's way with.
JOINT, RIVALS = "joint", {"heads-only": "separate training", "last-only": "the main network alone, trained as long"}


def ways_to_train(n_exits):
    """{name: (what it is, what the command line of an experiment would say)}."""
    paper = {"weighting": None, "heads_only": False, "loss_weights": None}
    ones, last = (1.0,) * n_exits, (0.0,) * (n_exits - 1) + (1.0,)
    ways = {
        JOINT: ("joint, the paper's loss weights", paper),
        "equal-weights": ("joint, equal loss weights", {**paper, "loss_weights": ones}),
        "heads-only": ("separate: heads on the frozen trunk", {**paper, "heads_only": True}),
        "last-only": ("the main network alone, trained on", {**paper, "loss_weights": last}),
    }
    for name in weighting_names():
        ways[name] = (f"joint, {name}", {**paper, "weighting": name})
    return ways


def evaluate_exits(net, samples, grid):
    """What early exit with this network gives on the test samples, T chosen on the validation samples.

    Args:
        net: a trained `BranchyNet`.
        samples: `branchynet.analysis.Prepared`.
        grid: thresholds in nats, tried at every early exit.

    Returns:
        dict: exits_pct (accuracy of each exit), accuracy_pct, thresholds, leaving_early_pct, multiply_adds (mean of a
        sample).
    """
    validation = record_exits(net, samples.validation_x, samples.validation_labels)
    test = record_exits(net, samples.test_x, samples.test_labels)
    paths = np.array(make_plan(net, net.sample_shape).path_multiply_adds())
    settings = sweep(validation, grid)
    costs = [float(np.array(setting.exit_shares) @ paths) for setting in settings]
    chosen = settings[knee(costs, [setting.accuracy for setting in settings], len(validation.labels))]
    evaluation = evaluate(test, chosen.thresholds)
    return {
        "exits_pct": (100 * test.exit_accuracies()).tolist(),
        "accuracy_pct": 100 * evaluation.accuracy,
        "thresholds": list(evaluation.thresholds),
        "leaving_early_pct": 100 * (1 - evaluation.exit_shares[-1]),
        "multiply_adds": float(np.array(evaluation.exit_shares) @ paths),
    }


class Comparison:
    """All ways, all seeds.

    Args:
        experiment: `branchynet.experiment.Experiment` of the network.
        arguments: the parsed command line.
        out: folder for the results.
    """

    def __init__(self, experiment, arguments, out):
        self.experiment, self.arguments, self.out = experiment, arguments, out
        self.device = get_device(arguments.device)
        self.device.use()
        self.material = Material.load(experiment, arguments)
        self.ways = ways_to_train(build_net(experiment, arguments, 0).n_exits)

    def result(self) -> dict:
        """Trains and evaluates; returns the record."""
        runs, main_runs = {name: [] for name in self.ways}, []
        for seed in self.arguments.seeds:
            main_run, weights = self._main_network(seed)
            main_runs.append(main_run)
            for name in self.ways:
                runs[name].append(self._run(name, seed, weights))
        net = self._net(self.arguments.seeds[0])
        return {
            "network": self.experiment.network,
            "dataset": self.material.dataset.name,
            "n_test": len(self.material.prepared.test_labels),
            "command": self.arguments.command,
            "arguments": self.arguments.recorded,
            "environment": records.environment(describe(self.device), threads.usable_cores()),
            "rule": KNEE_RULE.replace("fastest setting", "setting with the fewest multiply-adds"),
            "plain_multiply_adds": make_plain_plan(net, net.sample_shape).path_multiply_adds()[0],
            "main": {"description": "the main network that all start from", "runs": main_runs},
            "ways": [
                {"name": name, "description": description, "options": options, "runs": runs[name]}
                for name, (description, options) in self.ways.items()
            ],
        }

    def _net(self, seed):
        net = build_net(self.experiment, self.arguments, seed)
        net.initialise(self.material.prepared.test_x.shape[1:])
        net.to_device(self.device)
        return net

    def _main_network(self, seed):
        """What the main network gives, and the path of its weights; trained here unless the command line names it."""
        net = self._net(seed)
        if self.arguments.baseline is not None:
            weights = pathlib.Path(self.arguments.baseline) / "baseline"
            load_weights(net, weights)
        else:
            folder = records.prepare_output(self.out / f"seed{seed}" / "main")
            weights = folder / "baseline"
            settings = main_settings(self.experiment, self._arguments(seed))
            train_main(net, self.material.data, settings, folder, self.arguments.resume)
            provenance = {"command": self.arguments.command, "seed": seed, "step": "main network trained alone"}
            serialization.save_weights(net, weights, provenance)
        test = record_exits(net, self.material.prepared.test_x, self.material.prepared.test_labels)
        return {"seed": seed, "accuracy_pct": 100 * float(test.exit_accuracies()[-1])}, weights

    def _run(self, name, seed, weights):
        """One way with one seed; where the snapshot says that it is finished, nothing is trained."""
        folder = records.prepare_output(self.out / f"seed{seed}" / name)
        net = self._net(seed)
        _check_start(folder, load_weights(net, weights)["sha256"], self.arguments.resume)
        settings = joint_settings(self.experiment, self._arguments(seed, **self.ways[name][1]))
        print(f"seed {seed}: {self.ways[name][0]}", file=sys.stderr)
        train_joint(net, self.material.data, settings, folder, self.arguments.resume)
        return {"seed": seed, **evaluate_exits(net, self.material.prepared, self.experiment.threshold_grid)}

    def _arguments(self, seed, **options):
        return argparse.Namespace(**{**vars(self.arguments), "seed": seed, **options})


def _check_start(folder, sha256, resume):
    """Writes down which main network a way starts from; refuses to go on with what started from another one."""
    path = folder / "start.json"
    start = {"weights_sha256": sha256}
    if resume and path.exists() and records.read_json(path) != start:
        raise UserError(f"{folder}: expected a run that started from these weights of the main network, got another")
    records.write_json(path, start)


def summary(values, digits=2, unit=1):
    """Mean and, of several runs, the standard deviation, as text."""
    mean = f"{statistics.fmean(values) / unit:.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values) / unit:.{digits}f}"


def differences(result, rival, figure):
    """The paper's way less a rival, seed by seed, of a figure of a run."""
    runs = {way["name"]: way["runs"] for way in result["ways"]}
    return [figure(ours) - figure(theirs) for ours, theirs in zip(runs[JOINT], runs[rival])]


def answer(result):
    """Whether joint training helps, in words, against each rival and by how much."""
    mean_pct = statistics.fmean(run["accuracy_pct"] for way in result["ways"][:1] for run in way["runs"])
    error_pct = math.sqrt(mean_pct * (100 - mean_pct) / result["n_test"])
    figures = {
        "the last exit": lambda run: run["exits_pct"][-1],
        "the first exit": lambda run: run["exits_pct"][0],
        "early exit at the chosen T": lambda run: run["accuracy_pct"],
    }
    lines = []
    for rival, description in RIVALS.items():
        for name, figure in figures.items():
            if rival == "last-only" and name == "the first exit":
                continue  # it was never trained
            values = differences(result, rival, figure)
            verdict = _verdict(statistics.fmean(values), error_pct)
            lines.append(f"- Against {description}, {name}: joint training {verdict}, {_signed(values)} points.")
    lines.append(
        f"\nA difference shows if it is above one standard error of an accuracy on {result['n_test']:,} samples, "
        f"{error_pct:.2f} points."
    )
    return "\n".join(lines)


def _verdict(mean, error):
    if abs(mean) <= error:
        return "makes no difference that shows"
    return "helps" if mean > 0 else "hurts"


def _signed(values):
    text = summary(values)
    return text if text.startswith("-") else f"+{text}"


def markdown(result):
    """The table, and the answer."""
    n_exits = len(result["ways"][0]["runs"][0]["exits_pct"])
    plain = result["plain_multiply_adds"]
    heading = ["Training", *(f"Exit {n} (%)" for n in range(1, n_exits + 1))]
    heading += ["At the chosen T (%)", "Leaving early (%)", "Multiply-adds (thousands)", "Of the plain net (%)"]
    main_pct = summary([run["accuracy_pct"] for run in result["main"]["runs"]])
    rows = [[result["main"]["description"], *[""] * (n_exits - 1), main_pct, "", "", f"{plain / 1e3:.1f}", "100.0"]]
    for way in result["ways"]:
        runs = way["runs"]
        multiply_adds = [run["multiply_adds"] for run in runs]
        exits = [summary([run["exits_pct"][n] for run in runs]) for n in range(n_exits)]
        rows.append(
            [
                way["description"],
                *exits,
                summary([run["accuracy_pct"] for run in runs]),
                summary([run["leaving_early_pct"] for run in runs], 1),
                summary(multiply_adds, 1, 1e3),
                summary(multiply_adds, 1, plain / 100),
            ]
        )
    seeds = ", ".join(str(run["seed"]) for run in result["ways"][0]["runs"])
    spread = "mean ± standard deviation over the seeds; " if len(result["ways"][0]["runs"]) > 1 else ""
    note = f"Test samples; {spread}T: {result['rule']}, on validation. `{result['command']}`"
    title = f"### Ways to train B-{result['network']} on {result['dataset']}, seeds {seeds}"
    return "\n\n".join([title, markdown_table(heading, rows), note, answer(result)]) + "\n"


def parse_arguments(argv):
    """The command line, and the experiment that it names."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--network", choices=list(NETWORKS), default="lenet", help="default: %(default)s")
    experiment = NETWORKS[first.parse_known_args(argv)[0].network]
    parser = argparse.ArgumentParser(
        prog=f"{STEM}.py", description=__doc__.split("\n")[0], parents=[first], allow_abbrev=False
    )
    add_shared_options(parser, experiment)
    parser.add_argument("--seeds", type=whole_number(0), nargs="+", default=[0], metavar="N", help="default: 0")
    parser.add_argument(
        "--baseline",
        metavar="DIR",
        help="results of an experiment, whose main network (baseline.npz) all seeds start from; seeds then differ in "
        "the order of the samples and in dropout alone (default: trained here, one for each seed)",
    )
    arguments = parser.parse_args(argv)
    add_provenance(arguments, f"{STEM}.py", argv)
    # Of the experiments' options for step 2: what each way says instead.
    arguments.weighting, arguments.heads_only, arguments.loss_weights = None, False, None
    if arguments.out is None:
        stem = f"{STEM}-{arguments.network}"
        arguments.out = pathlib.Path(__file__).parent / "results" / folder_name(experiment, arguments, stem)
    return experiment, arguments


def main(argv=None):
    """Writes and prints the comparison; returns the exit status."""
    experiment, arguments = parse_arguments(sys.argv[1:] if argv is None else list(argv))
    try:
        out = records.prepare_output(arguments.out)
        with threads.limited(threads.usable_cores()):
            result = Comparison(experiment, arguments, out).result()
        text = markdown(result)
        records.write_json(out / f"{STEM}.json", result)
        records.write_text(out / f"{STEM}.md", text)
    except KeyboardInterrupt:
        print(f"\n{STEM}.py: stopped; the same command with --resume goes on from here", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"{STEM}.py: error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

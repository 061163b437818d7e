"""Figures 4, 5 and 6 of the paper with ours beside, for several networks.

4: the share of samples that leaves at the first exit against accuracy and T. 5: the number of convolutions in the first
branch against accuracy and time; those branchy networks are trained here, all from the same released plain network and
equally long, and what was stopped goes on. 6: T of the first exit against time and cache misses, which the processor's
counters count where it has them, and a model of a cache estimates where it has not.

T of the first exit is set so that a round share of the validation images leaves there; that of the others is the
released run's. Figures are of test images; times of the same images in shuffled order, all contenders in turn.
Writes figures.json, figures.md and figure4.png to figure6.png.
"""

import argparse
import dataclasses
import functools
import shlex
import sys

import numpy as np
from compare_training import NETWORKS, evaluate_variant, train_from_plain
from subjects import load_subject
from table import REFERENCE

from branchynet import plots, records, report
from branchynet.bench import cache, paths
from branchynet.bench.timing import gain, latency_summary
from branchynet.experiment import add_quiet, nonempty_path, positive_number, seed_number, whole_number, writing_into
from branchynet.experiment.recorded import shown_exits
from branchynet.inference import compile_net, compile_plain
from branchynet.machine import memory, processor, terminal, threads
from branchynet.machine.devices import get_device
from branchynet.machine.ending import exit_status
from branchynet.serialization import read_description
from branchynet.thresholds import thresholds_for_shares
from networks import zoo
from networks.branch_depths import BRANCHES, build_with

SCHEMA = 1
SCRIPT = "figures.py"
SHARES = (*range(0, 91, 10), 95, 98, 100)  # % of the validation images that leave at the first exit
N_COUNTED = 1000  # images of which cache misses are counted or modelled
DEFAULT_CACHE_BYTES = {"L1 data": 32 * 1024, "L2": 512 * 1024}  # of the model, where the machine does not say


def sweep_first_exit(subject, budget_s) -> tuple:
    """Figures 4 and 6: what T of the first exit does.

    Args:
        subject: as of `subjects.load_subject`.
        budget_s: seconds for the timing.

    Returns:
        (rows, plain, cache): rows, one a T, {share_pct, thresholds, accuracy_pct, exit_pct, ms, gain, misses}; plain,
        {ms, misses} of the plain network; cache, {"kind": "counters" or "model", and cache_bytes of the model}.
    """
    net, held_back = subject.net, subject.splits.validation
    validation = shown_exits(net, subject.transform(held_back.images), held_back.labels, "validation images")
    test = shown_exits(net, subject.x, subject.labels, "test images")
    none_leaves = (0,) * (net.n_exits - 2)
    settings = [
        (thresholds_for_shares(validation, (share / 100, *none_leaves))[0], *subject.rule.values[1:])
        for share in SHARES
    ]
    compiled, plain = compile_net(net), compile_plain(net)
    timed_paths = {setting: paths.compiled_path(compiled, setting) for setting in settings}
    timed_paths["plain"] = paths.compiled_path(plain, ())
    with terminal.elapsing("timing T", budget_s):
        timed = paths.time_paths(timed_paths, subject.x, net.device, budget_s)
    outcomes, rows = test.evaluate(settings), []
    for share, setting, accuracy, shares in zip(SHARES, settings, outcomes.accuracies, outcomes.exit_shares):
        rows.append(
            {
                "share_pct": share,
                "thresholds": list(setting),
                "accuracy_pct": 100 * float(accuracy),
                "exit_pct": (100 * shares).tolist(),
                "ms": latency_summary(timed[setting][0]),
                "gain": gain(timed["plain"][0], timed[setting][0]),
            }
        )
    plain_ms, used = timed["plain"][0], CacheUse(subject.x)
    misses = used.of(plain, (), np.zeros(len(subject.x), int))
    plain_row = {"ms": latency_summary(plain_ms), "misses": misses, "n_images_timed": len(plain_ms)}
    for row, setting in terminal.counted("cache misses", list(zip(rows, settings)), "setting"):
        row["misses"] = used.of(compiled, setting, test.exits_at(setting))
    return rows, plain_row, used.description


class CacheUse:
    """Cache misses of compiled networks on some samples, counted where that can be done, else modelled."""

    def __init__(self, x):
        self.x = [x[index : index + 1] for index in range(min(len(x), N_COUNTED))]
        self.description = {"kind": "counters"}
        if not cache.count_misses(lambda sample: None, self.x[:1]):
            found = processor.cache_bytes()
            sizes = {name: found.get(name, size) for name, size in DEFAULT_CACHE_BYTES.items()}
            self.description = {"kind": "model", "cache_bytes": sizes}

    def of(self, compiled, thresholds, exits) -> dict:
        """{level: misses a sample} of a compiled network at T, where all samples take these exits."""
        if self.description["kind"] == "counters":
            return cache.count_misses(paths.compiled_path(compiled, thresholds), self.x)
        sizes, exits = self.description["cache_bytes"], exits[: len(self.x)]
        return {name: cache.modelled_misses(compiled.plan, exits, size) for name, size in sizes.items()}


def train_depths(subject, depths, plain, settings, out) -> dict:
    """Branchy networks that differ in the first branch, each trained from the same plain network.

    Args:
        subject: one of `BRANCHES`, as of `subjects.load_subject`.
        depths: numbers of convolutions.
        plain: path, without an ending, of the weights of the plain network.
        settings: `TrainingSettings` of joint training.
        out: folder for the snapshots.

    Returns:
        {number of convolutions: the trained net}
    """
    nets, name = {}, subject.name
    for depth in depths:
        build, folder = functools.partial(build_with, name, depth), out / f"{name}-{depth}-convolutions"
        training = subject.splits, subject.transform, settings, folder, NETWORKS[name][0].augment
        nets[depth] = train_from_plain(build, plain, *training)
    return nets


def measure_depths(nets, subject, budget_s) -> list:
    """Figure 5: accuracy and time of what `train_depths` gives.

    Returns:
        rows, one a depth, {n_convolutions, exit_accuracy_pct, thresholds, accuracy_pct, early_pct, multiply_adds, ms,
        gain over the plain network}: T is the knee on validation images.
    """
    rows, contenders = [], {}
    for depth, net in nets.items():
        rows.append({"n_convolutions": depth, **evaluate_variant(net, subject.splits, subject.transform)})
        contenders.setdefault("plain", paths.compiled_path(compile_plain(net), ()))
        contenders[depth] = paths.compiled_path(compile_net(net), tuple(rows[-1]["thresholds"]))
    with terminal.elapsing("timing depths", budget_s):
        timed = paths.time_paths(contenders, subject.x, subject.net.device, budget_s)
    for row in rows:
        ms = timed[row["n_convolutions"]][0]
        row |= {"ms": latency_summary(ms), "gain": gain(timed["plain"][0], ms)}
    return rows


def measure_network(name, options, out) -> dict:
    """Everything of one network: a part of figures.json."""
    subject = load_subject(name, get_device("cpu"), options.seed, options.data_dir)
    with threads.limited(1):
        sweep, plain, used = sweep_first_exit(subject, options.budget)
    measured = {
        "network": name,
        "weights_sha256": subject.weights_sha256,
        "sweep": sweep,
        "plain": plain,
        "cache": used,
    }
    if name not in BRANCHES or not options.depths:
        return {**measured, "depths": []}
    joint, epochs = NETWORKS[name][0].presets["standard"].joint, options.epochs or NETWORKS[name][1]
    settings = dataclasses.replace(joint, epochs=epochs, seed=options.seed, freeze_trunk=options.freeze_trunk)
    stem = zoo.get(name).folder / "plain"
    with threads.limited(threads.usable_cores()):
        nets = train_depths(subject, options.depths, stem, settings, out)
    with threads.limited(1):
        depths = measure_depths(nets, subject, options.budget)
    from_plain = {"plain_sha256": read_description(stem)["sha256"], "settings": dataclasses.asdict(settings)}
    return {**measured, "depths": depths, "depths_trained": from_plain}


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add, names = parser.add_argument, zoo.released_names()
    add("--networks", choices=names, nargs="+", default=list(BRANCHES), help="default: %(default)s")
    text = "convolutions in the first branch, each trained; none: no figure 5 (default: 0 to 4, the paper's)"
    add("--depths", type=whole_number(0, 100), nargs="*", default=[0, 1, 2, 3, 4], metavar="N", help=text)
    add("--epochs", type=whole_number(1), metavar="N", help="of each of them (default: the network's, a few)")
    add("--freeze-trunk", action="store_true", help="train the branches alone, on the trunk as it is")
    add("--data-dir", type=nonempty_path, metavar="DIR", help="folder of the data sets")
    text = "seconds for each timing (default: %(default)g)"
    add("--budget", type=positive_number, default=3 * paths.BUDGET_S, metavar="S", help=text)
    add("--seed", type=seed_number, default=0, metavar="N", help="of training and of the order of the test images")
    add("--out", type=nonempty_path, required=True, metavar="DIR", help="for snapshots, record and figures")
    add_quiet(parser)
    return parser.parse_args(argv)


def _command(options, names):
    words = ["--networks", *names, "--depths", *options.depths]
    words += ["--epochs", options.epochs] if options.epochs else []
    words += ["--freeze-trunk"] * options.freeze_trunk + ["--budget", f"{options.budget:g}", "--seed", options.seed]
    return shlex.join(map(str, [f"experiments/{SCRIPT}", *words]))


def _run(options):
    memory.keep_freed_memory()
    with writing_into(options.out) as out:
        published, measured = records.load_published(REFERENCE), []
        for name in options.networks:
            measured.append(measure_network(name, options, out))
            result = {
                "schema": SCHEMA,
                "command": _command(options, options.networks[: len(measured)]),
                "seed": options.seed,
                "networks": measured,
                "environment": records.environment(get_device("cpu"), 1),
            }
            records.write_json(out / "figures.json", result)  # after each, so that none is lost
            records.write_text(out / "figures.md", report.paper_figures(result, published) + "\n")
        plots.paper_figures(result, published, out)
        print(report.paper_figures(result, published))


def main(argv=None):
    """Measures, draws and prints; returns the exit status."""
    options = parse_arguments(argv)
    stopped = "stopped; what was trained is kept, the same command goes on from here"
    return exit_status(SCRIPT, lambda: _run(options), stopped, quiet=options.quiet)


if __name__ == "__main__":
    sys.exit(main())

"""Early exit's gain by engine and precision, for several networks, in one run on one thread, one image at a time.

For each engine and precision the plain and the branchy network are compiled, T is chosen again on validation images so
that the same shares leave as in float32, and both are timed in turn with all others on the same shuffled test images.
Accuracy, and how many answers differ from those of float32, are those of all test images. int8 is calibrated on
training images. Writes precision.json, precision.md and precision.png.
"""

import argparse
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
from subjects import load_subject

from branchynet import plots, records, report
from branchynet.bench import limits, paths
from branchynet.bench.timing import gain, latency_summary
from branchynet.errors import CompileError
from branchynet.experiment import add_quiet, nonempty_path, positive_number, seed_number, writing_into
from branchynet.experiment.recorded import shown_exits
from branchynet.inference import compile_net, compile_plain, run
from branchynet.inference.engines import engine_classes
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.machine import terminal, threads
from branchynet.machine.devices import get_device
from branchynet.machine.ending import exit_status
from branchynet.thresholds import thresholds_for_shares
from networks import zoo

SCHEMA = 1
SCRIPT = "benchmark_precision.py"
N_CALIBRATION = 512
BATCH_SIZE = 500


def compile_pairs(net, calibration):
    """Both networks, for every engine and precision.

    Returns:
        {(engine, precision): (compiled plain, compiled branchy network)}, {"engine precision": why it cannot be had}
    """
    pairs, left_out = {}, {}
    for name, engine in terminal.counted("compiling", list(engine_classes().items()), "engine"):
        for precision in engine.precisions:
            settings = {"engine": name, "precision": precision, "calibration": calibration}
            try:
                pairs[name, precision] = compile_plain(net, **settings), compile_net(net, **settings)
            except CompileError as error:
                left_out[f"{name} {precision}"] = str(error)
    return pairs, left_out


def answers_on(compiled, x, thresholds):
    """Labels and exits (N,) of a compiled network."""
    parts = [compiled.run(x[i : i + BATCH_SIZE], thresholds) for i in range(0, len(x), BATCH_SIZE)]
    return tuple(np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "exits"))


def bench_network(subject, budget_s) -> dict:
    """What is measured of one network: a part of precision.json.

    Args:
        subject: as of `load_subject`, on the CPU.
        budget_s: seconds for all contenders.
    """
    net, x, rule = subject.net, subject.x, subject.rule
    splits, transform = subject.splits, subject.transform
    validation_x, validation_labels = transform(splits.validation.images), splits.validation.labels
    recorded = shown_exits(net, validation_x, validation_labels, "validation images")
    shares = recorded.evaluate([rule.values]).exit_shares[0][:-1]
    expected = run(net, x, rule, batch_size=BATCH_SIZE)
    pairs, left_out = compile_pairs(net, transform(splits.train.images[:N_CALIBRATION]))
    rows, contenders = [], {}
    for (engine, precision), (plain, early) in terminal.counted("answering", list(pairs.items()), "engine"):
        thresholds = rule.values
        if precision != "f32":
            thresholds = thresholds_for_shares(early.record_exits(validation_x, validation_labels), shares)
        plain_labels, _ = answers_on(plain, x, ())
        labels, exits = answers_on(early, x, thresholds)
        rows.append(
            {
                "engine": engine,
                "precision": precision,
                "thresholds": list(thresholds),
                "exit_pct": (100 * np.bincount(exits, minlength=net.n_exits) / len(exits)).tolist(),
                "plain_accuracy_pct": 100 * float((plain_labels == subject.labels).mean()),
                "accuracy_pct": 100 * float((labels == subject.labels).mean()),
                "differing_pct": 100 * float((labels != expected.labels).mean()),
            }
        )
        contenders[engine, precision, "plain"] = paths.compiled_path(plain, ())
        contenders[engine, precision, "early"] = paths.compiled_path(early, thresholds)
    with terminal.elapsing("timing", budget_s):
        timed = paths.time_paths(contenders, x, net.device, budget_s)
    for row in rows:
        plain_ms, early_ms = (timed[row["engine"], row["precision"], form][0] for form in ("plain", "early"))
        row |= {"plain_ms": latency_summary(plain_ms), "early_ms": latency_summary(early_ms)}
        row |= {"gain": gain(plain_ms, early_ms), "n_images_timed": len(early_ms)}
    exit_pct = 100 * np.bincount(expected.exits, minlength=net.n_exits) / len(x)
    allowed = limits.gain_limits(make_plan(net), make_plain_plan(net), exit_pct.tolist())
    return {
        "network": subject.name,
        "weights_sha256": subject.weights_sha256,
        "dataset_sha256": subject.dataset_sha256,
        "multiply_add_limit_of_gain": allowed["multiply_add_limit_of_gain"],
        "left_out": left_out,
        "rows": rows,
    }


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    names, released = list(zoo.NETWORKS), zoo.released_names()
    parser.add_argument("--networks", choices=names, nargs="+", default=released, help="default: all that are released")
    parser.add_argument("--data-dir", type=nonempty_path, metavar="DIR", help="folder of the data sets")
    parser.add_argument("--budget", type=positive_number, default=120.0, metavar="S", help="seconds for each network")
    parser.add_argument("--seed", type=seed_number, default=0, metavar="N", help="of the order of the test images")
    parser.add_argument("--out", type=nonempty_path, required=True, metavar="DIR")
    add_quiet(parser)
    return parser.parse_args(argv)


def _run(options):
    device, made = get_device("cpu"), []
    with writing_into(options.out) as out, threads.limited(1):
        for name in options.networks:
            made.append(bench_network(load_subject(name, device, options.seed, options.data_dir), options.budget))
            result = _write(made, options, device, out)  # after each, so that none is lost
    print(report.precision_table(result))


def _write(made, options, device, out) -> dict:
    """Writes what was measured so far; returns the record."""
    names = [measured["network"] for measured in made]
    words = ["--networks", *names, "--budget", f"{options.budget:g}", "--seed", str(options.seed)]
    result = {
        "schema": SCHEMA,
        "command": shlex.join([f"experiments/{SCRIPT}", *words]),
        "seed": options.seed,
        "environment": records.environment(device, 1),
        "networks": made,
    }
    records.write_json(out / "precision.json", result)
    records.write_text(out / "precision.md", report.precision_table(result) + "\n")
    plots.gains_by_precision(result, out / "precision.png")
    return result


def main(argv=None):
    """Runs the benchmark; returns the exit status."""
    options = parse_arguments(argv)
    stopped = "stopped; precision.json holds the networks that were done, --networks names the others"
    return exit_status(SCRIPT, lambda: _run(options), stopped, quiet=options.quiet)


if __name__ == "__main__":
    sys.exit(main())

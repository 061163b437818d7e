"""The paper's future work on the released weights: measures of confidence, thresholds that find themselves, unknown
images, the best combination, other loss weights. Writes report.md, future.json and two figures for each network.
"""

import argparse
import itertools
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import future
import numpy as np
from future import plots, report

from branchynet import datasets, records
from branchynet.confidence import MEASURES
from branchynet.confidence.calibration import CalibratedEntropy
from branchynet.experiment import (
    add_quiet,
    existing_folder,
    nonempty_path,
    positive_number,
    seed_number,
    writing_into,
)
from branchynet.inference.plan import make_plain_plan
from branchynet.machine import threads
from branchynet.machine.devices import get_device
from branchynet.machine.ending import exit_status
from networks import zoo

SCHEMA = 2
HERE = pathlib.Path(__file__).resolve().parent
GOALS = (
    "knee",
    "quantile=0.8",
    "latency<={reference_ms:.6g}ms",
    "accuracy>=last-0.3%",
    "risk<=0.5%@95%",
    "expected-risk<=0.5%",
    "bin-accuracy>=99%",
    "multiply-adds<={share_of_plain:.0f}",
)
# For a data set on which exits are wrong more often.
MORE_GOALS = {"cifar10": ("risk<=2%@95%", "bin-accuracy>=90%")}
SHARE_OF_PLAIN = 0.6
# Tried, besides all the others, with every measure.
AS_ACCURATE = "accuracy>={reference_accuracy_pct:.10g}%"
UNKNOWN = {"mnist": "fashion-mnist"}
SETTINGS_TO_TRY = {"opengan": {"n_hidden": (32, 64), "alpha": (1e-3, 5e-3), "n_steps": (300, 1000)}}
N_TRAINING = 20_000
# Of the validation samples. Few suffice to fit; T needs the more, for one wrong answer of MNIST's is rare.
SHARE_FITTED_TO = 0.2


def study_network(network, trained, data_dir, budget_s, seed) -> dict:
    """Everything about one network.

    Args:
        network: entry of the zoo, `networks.zoo.Network`.
        trained: what `networks.zoo.load` makes of it.
        data_dir: folder of the data sets; None for the usual places.
        budget_s: seconds of timing for each measure.
        seed: of parts, order and fitting.

    Returns:
        an entry of "networks" in future.json: sizes; reference: the reference setting; fits: how each measure came
        about; and what the functions of `future` return, under the names of their subjects.
    """
    net, transform = trained.net, trained.transform
    splits = datasets.load(network.dataset, data_dir).split()
    order = np.random.default_rng(seed).permutation(len(splits.test))
    test_x, training = transform(splits.test.images[order]), splits.train[:N_TRAINING]
    with threads.limited(threads.usable_cores()):
        recorded_training = future.Recorded.of(net, transform(training.images), training.labels)
        validation = future.Recorded.of(net, transform(splits.validation.images), splits.validation.labels)
        test = future.Recorded.of(net, test_x, splits.test.labels[order])
    with threads.limited(1):
        fit, choose = validation.parted(SHARE_FITTED_TO, seed)
        fits = future.fit_measures(MEASURES.names(), fit, recorded_training, SETTINGS_TO_TRY, seed)
        measures = {key: fitted.measure for key, fitted in fits.items()}
        grid = list(itertools.product(network.threshold_grid, repeat=net.n_exits - 1))
        study = future.Study.of(net, choose, test, measures, grid, test_x, budget_s=budget_s * len(measures))
        return {
            "name": network.name,
            "dataset": network.dataset,
            "n_training": len(training),
            "n_fit": len(fit.labels),
            "fits": {key: _fit(fitted) for key, fitted in fits.items()},
            **_compare(study, network.dataset, budget_s),
            "reliability": future.reliability(test, CalibratedEntropy().fit(fit.logits, fit.labels).tau_),
            "unknown": _unknown(study, transform, network.dataset, data_dir),
        }


def _fit(fitted):
    chosen = {"settings": fitted.measure.describe()["settings"], "n_samples": fitted.n_samples}
    return {**chosen, "fit_s": fitted.fit_s, "tried": fitted.tried}


def _compare(study, dataset, budget_s):
    """The part of an entry that a `Study` is enough for."""
    name, reference, goals = future.REFERENCE_MEASURE, study.reference, _goals(study, dataset)
    as_accurate = AS_ACCURATE.format(reference_accuracy_pct=100 * reference.accuracy)
    combination = future.best_combination(study, [*goals, as_accurate])
    best = combination["best"]
    timed = None if best is None else future.time_against_reference(study, best, budget_s)
    return {
        "n_choose": len(study.validation.labels),
        "n_test": len(study.test.labels),
        "n_timed": study.n_timed,
        "engine": study.compiled[name].engine,
        "reference": {
            "thresholds": list(reference.thresholds),
            "rule": reference.rule,
            "validation": study.on_validation(name, reference.thresholds),
            "test": study.on_test(name, reference.thresholds),
        },
        "measures": future.compare_measures(study),
        "goals": future.compare_goals(study, goals),
        "combination": {**combination, "timed": timed},
    }


def _goals(study, dataset):
    plain = make_plain_plan(study.net).path_multiply_adds()[-1]
    numbers = {"reference_ms": study.reference.expected_cost, "share_of_plain": SHARE_OF_PLAIN * plain}
    return [goal.format(**numbers) for goal in (*GOALS, *MORE_GOALS.get(dataset, ()))]


def _unknown(study, transform, dataset, data_dir):
    """Images of another data set, where there is one of the same shape; else None."""
    if dataset not in UNKNOWN:
        return None
    samples = datasets.load(UNKNOWN[dataset], data_dir).test
    unknown = future.Recorded.of(study.net, transform(samples.images), samples.labels)
    return {"dataset": UNKNOWN[dataset], "n": len(samples), "measures": future.compare_on_unknown(study, unknown)}


def read_training(folder) -> list:
    """The records of comparisons of ways to train that lie in a folder, or in folders in it."""
    return [records.read_json(path) for path in sorted(pathlib.Path(folder).rglob("compare_training.json"))]


def write_report(result, out) -> str:
    """Writes report.md and the figures of a result, the content of future.json; returns the report."""
    for network in result["networks"]:
        plots.measure_tradeoffs(network, out / f"{network['name']}-tradeoffs.png")
        plots.reliability(network, out / f"{network['name']}-reliability.png")
    text = report.future_work(result)
    records.write_text(out / "report.md", text)
    return text


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=" ".join((__doc__ or "").split()))
    add, names, released = parser.add_argument, list(zoo.NETWORKS), zoo.released_names()
    add("--networks", choices=names, nargs="+", default=released, help="default: all that are released")
    add("--data-dir", type=nonempty_path, metavar="DIR", help="folder of the data sets")
    text = "results of experiments/compare_training.py (default: those released)"
    add("--training", type=existing_folder, metavar="DIR", default=zoo.RELEASED / "compare-training", help=text)
    add("--budget", type=positive_number, default=8.0, metavar="S", help="seconds of timing for each measure")
    add("--seed", type=seed_number, default=0, metavar="N", help="of parts, order and fitting")
    add("--out", type=nonempty_path, metavar="DIR", default=HERE / "results" / "future")
    add_quiet(parser)
    return parser.parse_args(argv)


def _run(arguments):
    """Studies the networks; leaves record, report and figures in the folder."""
    names, budget_s, seed, studied = arguments.networks, arguments.budget, arguments.seed, []
    with writing_into(arguments.out) as out:
        # All of them first: what is missing is missed now, not after the first network.
        networks = [(zoo.get(name), zoo.load(name)) for name in names]
        for network in networks:
            studied.append(study_network(*network, arguments.data_dir, budget_s, seed))
            words = ["--networks", *names[: len(studied)], "--budget", f"{budget_s:g}", "--seed", str(seed)]
            result = {
                "schema": SCHEMA,
                "command": shlex.join(["experiments/future_work.py", *words]),
                "seed": seed,
                "environment": records.environment(get_device("cpu"), 1),
                "networks": studied,
                "training": read_training(arguments.training),
            }
            records.write_json(out / "future.json", result)  # after each, so that none is lost
            text = write_report(result, out)
    print(text)


def main(argv=None):
    """Writes and prints the report; returns the exit status."""
    arguments = parse_arguments(argv)
    stopped = "stopped; future.json holds the networks that were done, --networks names the others"
    return exit_status("future_work.py", lambda: _run(arguments), stopped, quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())

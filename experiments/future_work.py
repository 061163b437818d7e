"""The paper's future work on the released weights: measures of confidence, thresholds that find themselves, unknown
images, the best combination, other loss weights. Writes report.md, future.json and two figures for each network.
"""

import argparse
import itertools
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
from released import NETWORKS, is_released, load_network

from branchynet import datasets, evaluation, plots, records, report, threads
from branchynet.command_line import exit_status, whole_number
from branchynet.confidence import CalibratedEntropy, measure_names
from branchynet.devices import describe, get_device
from branchynet.errors import UserError
from branchynet.inference.plan import make_plain_plan

HERE = pathlib.Path(__file__).resolve().parent
GOALS = (
    "knee",
    "quantile=0.8",
    "latency<={papers_ms:.6g}ms",
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
AS_ACCURATE = "accuracy>={papers_accuracy_pct:.10g}%"
UNKNOWN = {"mnist": "fashion-mnist"}
SETTINGS_TO_TRY = {"opengan": {"n_hidden": (32, 64), "alpha": (1e-3, 5e-3), "n_steps": (300, 1000)}}
N_TRAINING = 20_000
# Of the validation samples. Few suffice to fit; T needs the more, for one wrong answer of MNIST's is rare.
SHARE_FITTED_TO = 0.2


def study_network(name, arguments) -> dict:
    """Everything about one network.

    Args:
        name: of `NETWORKS`.
        arguments: the parsed command line.

    Returns:
        an entry of "networks" in future.json: sizes; reference: the paper's way; fits: how each measure came about; and
        what the functions of `branchynet.evaluation` return, under the names of their subjects.
    """
    network = NETWORKS[name]
    net, splits, prepare, _ = load_network(network, data_dir=arguments.data_dir)
    order = np.random.default_rng(arguments.seed).permutation(len(splits.test))
    test_x, test_labels = prepare(splits.test.images[order]), splits.test.labels[order]
    training = splits.train[:N_TRAINING]
    with threads.limited(threads.usable_cores()):
        recorded_training = evaluation.Recorded.of(net, prepare(training.images), training.labels)
        validation = evaluation.Recorded.of(net, prepare(splits.validation.images), splits.validation.labels)
        test = evaluation.Recorded.of(net, test_x, test_labels)
    with threads.limited(1):
        fit, choose = validation.parted(SHARE_FITTED_TO, arguments.seed)
        fits = evaluation.fit_measures(measure_names(), fit, recorded_training, SETTINGS_TO_TRY, arguments.seed)
        measures = {key: fitted.measure for key, fitted in fits.items()}
        budget_s = arguments.budget * len(measures)
        study = evaluation.Study.of(net, choose, test, measures, test_x, budget_s=budget_s)
        early_exits = net.n_exits - 1
        reference = study.papers_choice(list(itertools.product(network.threshold_grid, repeat=early_exits)))
        goals, multiply_adds = _goals(net, network, reference), study.plan.path_multiply_adds()
        entry = {
            "name": name,
            "dataset": network.dataset,
            "engine": study.compiled[evaluation.PAPERS_MEASURE].engine,
            "n_fit": len(fit.labels),
            "n_choose": len(choose.labels),
            "n_test": len(test.labels),
            "n_training": len(training),
            "n_timed": study.n_timed,
            "reference": _reference(study, reference),
            "fits": {key: _fit(fitted) for key, fitted in fits.items()},
            "measures": evaluation.compare_measures(study, reference),
            "reliability": evaluation.reliability(test, CalibratedEntropy().fit(fit.logits, fit.labels).tau_),
            "goals": evaluation.compare_goals(study, goals, multiply_adds),
            "unknown": _unknown(study, net, network, prepare, reference, arguments),
        }
        tried = (*goals, AS_ACCURATE.format(papers_accuracy_pct=100 * reference.accuracy))
        combination = evaluation.best_combination(study, tried, multiply_adds, reference)
        timed = None
        if combination["best"] is not None:
            timed = evaluation.time_against_papers_way(
                study, net, test_x, combination["best"], reference, arguments.budget
            )
    return {**entry, "combination": {**combination, "timed": timed}}


def _goals(net, network, reference):
    plain = make_plain_plan(net, net.sample_shape).path_multiply_adds()[-1]
    numbers = {"papers_ms": reference.expected_cost, "share_of_plain": SHARE_OF_PLAIN * plain}
    return [goal.format(**numbers) for goal in (*GOALS, *MORE_GOALS.get(network.dataset, ()))]


def _reference(study, choice):
    name = evaluation.PAPERS_MEASURE
    on_both = {"validation": study.validation_records[name], "test": study.test_records[name]}
    outcomes = {
        split: evaluation.outcome(exit_records, study.costs[name], choice.thresholds)
        for split, exit_records in on_both.items()
    }
    return {"thresholds": list(choice.thresholds), "rule": choice.rule, **outcomes}


def _fit(fitted):
    chosen = {"settings": fitted.measure.describe()["settings"], "n_samples": fitted.n_samples}
    return {**chosen, "fit_s": fitted.fit_s, "tried": fitted.tried}


def _unknown(study, net, network, prepare, reference, arguments):
    """Images of another data set, where there is one of the same shape; else None."""
    if network.dataset not in UNKNOWN:
        return None
    samples = datasets.load(UNKNOWN[network.dataset], arguments.data_dir).test
    unknown = evaluation.Recorded.of(net, prepare(samples.images), samples.labels)
    rows = evaluation.compare_on_unknown(study, unknown, reference)
    return {"dataset": UNKNOWN[network.dataset], "n": len(samples), "measures": rows}


def read_training(folder):
    """The comparisons of ways to train that lie in a folder, or folders in it: records, one a network."""
    return [records.read_json(path) for path in sorted(pathlib.Path(folder).rglob("compare_training.json"))]


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split()))
    parser.add_argument(
        "--networks", choices=list(NETWORKS), nargs="+", default=list(NETWORKS), help="default: all that are released"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data sets")
    parser.add_argument(
        "--training",
        type=pathlib.Path,
        metavar="DIR",
        default=HERE / "results" / "released" / "compare-training",
        help="results of experiments/compare_training.py (default: those released)",
    )
    parser.add_argument("--budget", type=float, default=8.0, metavar="S", help="seconds of timing for each measure")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="of parts, order and fitting")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", default=HERE / "results" / "future")
    return parser.parse_args(argv)


def _run(arguments):
    out = records.prepare_output(arguments.out)
    there = [name for name in arguments.networks if is_released(NETWORKS[name])]
    if not there:
        raise UserError(f"expected released weights of {', '.join(arguments.networks)}, got none")
    words = ["experiments/future_work.py", "--networks", *there]
    words += ["--budget", f"{arguments.budget:g}", "--seed", str(arguments.seed)]
    result = {
        "command": shlex.join(words),
        "seed": arguments.seed,
        "environment": records.environment(describe(get_device("cpu")), 1),
        "missing": [name for name in arguments.networks if name not in there],
        "networks": [study_network(name, arguments) for name in there],
        "training": read_training(arguments.training),
    }
    records.write_json(out / "future.json", result)
    for network in result["networks"]:
        plots.measure_tradeoffs(network, out / f"{network['name']}-tradeoffs.png")
        plots.reliability(network, out / f"{network['name']}-reliability.png")
    text = report.future_work(result)
    records.write_text(out / "report.md", text)
    print(text)


def main(argv=None):
    """Writes and prints the report; returns the exit status."""
    arguments = parse_arguments(argv)
    return exit_status("future_work.py", lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())

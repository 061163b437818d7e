"""The whole story of one experiment: data, both training steps, choosing T, measuring, table and figures."""

import functools
import sys

import numpy as np

from branchynet import datasets, records, report, serialization
from branchynet.datasets import TRANSFORMS
from branchynet.experiment import processes
from branchynet.experiment.analysis import analyse
from branchynet.experiment.command_line import parse_request
from branchynet.experiment.recorded import EXIT_RECORDS, REPORT
from branchynet.experiment.request import Experiment
from branchynet.experiment.scripts import writing_into
from branchynet.experiment.steps import Steps
from branchynet.inference.engines import check_engine
from branchynet.machine import memory, terminal, threads
from branchynet.machine.devices import get_device, is_gpu
from branchynet.machine.ending import exit_status, exit_status_of_workers
from branchynet.machine.files import check_space, replacing
from branchynet.net import BranchyNet
from branchynet.records.published import select
from branchynet.report.html import write_report
from branchynet.thresholds import as_exit_rule, parse_goal
from branchynet.training import JointLoss
from branchynet.training.run import snapshot_bytes

_RESULTS_BYTES = 32 << 20


def main(experiment: Experiment, argv=None) -> int:
    """Runs an experiment from its command line.

    Args:
        experiment: what to run.
        argv: arguments without the program's name; those of the process by default.

    Returns:
        the exit status, as of `exit_status`.
    """
    name, parsed = experiment.script.name, []
    status = exit_status(name, lambda: parsed.append(parse_request(experiment, argv)))
    if status:
        return status
    request = parsed[0]
    if request.timing_job is not None:
        return exit_status(name, lambda: processes.do_job(request))
    stopped = f"stopped; the same command {'' if request.resume else 'with --resume '}goes on from what is there"
    with terminal.silenced(request.quiet):
        run = functools.partial(run_experiment, request)
        return exit_status_of_workers(name, run, stopped, device=request.device)


def run_experiment(request, workers) -> None:
    """Runs one experiment, and leaves record, weights, table and figures in its folder; the first worker prints.

    Args:
        request: `Request`.
        workers: `branchynet.machine.workers.Workers` that share the training.

    Raises:
        UserError: of whatever was asked for and cannot be had; what does not fit fails before hours of training.
    """
    device = get_device(request.device, default_gpu=workers.rank_on_this_machine)
    device.use()
    with writing_into(request.out, workers):
        _run_alone(request, workers, device)
    workers.wait()


def _run_alone(request, workers, device):
    check_engine(request.engine, device)
    published = records.load_published(request.published)
    np.random.seed(request.seed)  # noqa: NPY002  (Chainer draws initial weights from the global generator)
    net = BranchyNet(request.network.build())
    JointLoss.of(net, request.joint_settings)
    if request.thresholds is not None:
        as_exit_rule(request.thresholds, net.n_exits)
    if request.goal is not None:
        parse_goal(request.goal).check(net.n_exits)

    dataset = datasets.load(request.dataset, request.data_dir)
    splits = dataset.split()
    transform = TRANSFORMS[request.transform].fit(splits.train.images)
    net.initialise(transform(splits.train.images[:1]).shape[1:])
    if workers.is_first:  # three phases leave a snapshot and weights each; then tables, figures and the report
        check_space(request.out, 3 * snapshot_bytes(net) + _RESULTS_BYTES)
    net.to_device(device)
    with threads.limited(max(1, threads.usable_cores() // workers.on_this_machine)):
        steps = Steps(request, dataset, splits, transform, workers)
        if request.weights is not None:
            training, longer = steps.take_earlier(net)
        else:
            memory.keep_freed_memory()
            training, longer = steps.train(net)
    if not workers.is_first:
        return
    with threads.limited(processes.TIMING_THREADS):
        paper = _row_of_the_paper(request, device, published)
        results, by_measure, timed = analyse(net, longer, splits, transform, request, paper)
    with replacing(request.out / "timings.npz") as handle:
        np.savez_compressed(handle, **timed)
    run = _record(request, device, dataset, training, results)
    problem = _write_results(request.out, run, published, dataset, splits, by_measure)
    _tell(request, run, published, problem)


def _record(request, device, dataset, training, results):
    """The record of the run: the keys are described in `branchynet.records`."""
    plain_chainer_ms, plain_ms = results.pop("plain_chainer_ms"), results.pop("plain_ms")
    title, engine = request.network.title, results["engine"]
    longer_pct, last_exit_pct = results.pop("plain_accuracy_pct"), results["exits"][-1]["accuracy_pct"]["test"]
    earlier = training.get("run") or vars(request)
    as_long = "plain network alone, as long as both steps"
    baselines = (
        (title, as_long, engine, longer_pct, plain_ms),
        (f"{title} (plain Chainer)", as_long, "chainer", longer_pct, plain_chainer_ms),
        (f"{title} (step 1 only)", "plain network alone, step 1", engine, training["plain_accuracy_pct"], plain_ms),
        (f"{title} (joint, last exit only)", "joint, branches removed", engine, last_exit_pct, plain_ms),
    )
    return {
        "schema": records.SCHEMA,
        "name": request.network.name,
        "network": title,
        "branchy_network": f"B-{title}",
        "variant": request.network.variant,
        "dataset": dataset.name,
        "dataset_sha256": {"train": dataset.train.sha256(), "test": dataset.test.sha256()},
        "weights_sha256": _weights_sha256(request),
        "device": "gpu" if is_gpu(device) else "cpu",
        "preset": earlier["preset"],
        "tuned_on_test": training.get("run", training).get("tuned_on_test", []),
        "seed": earlier["seed"],
        "command": request.command,
        "arguments": request.recorded,
        "training_settings": training["settings"],
        "training_workers": training["workers"],
        "trained_by": training.get("run"),
        "plain_from": training.get("plain_from"),
        "environment": records.environment(device, processes.TIMING_THREADS),
        "baselines": [
            dict(zip(("name", "training", "engine", "accuracy_pct", "latency_ms"), values)) for values in baselines
        ],
        **results,
        "history": training["history"],
    }


def _weights_sha256(request):
    """{file: hash} of the weights that the figures are of: an earlier run's where they were taken from there."""
    found = {}
    for stem in ("plain", "weights", "longer"):
        folders = [folder for folder in (request.weights, request.out) if folder is not None]
        folder = next(folder for folder in folders if (folder / f"{stem}.npz").exists())
        found[stem] = serialization.read_description(folder / stem)["sha256"]
    return found


def _row_of_the_paper(request, device, published):
    title, where = request.network.title, "gpu" if is_gpu(device) else "cpu"
    names = {"network": title, "branchy_network": f"B-{title}", "dataset": request.dataset, "device": where}
    return select(names, published).paper_branchy


def _write_results(out, run, published, dataset, splits, by_measure):
    """Writes record, tables, figures and report; gives what kept the report from being written, or None."""
    from branchynet import plots  # Matplotlib takes half a second to load, which processes that time do not need

    records.check_run(run)
    records.write_json(out / "run.json", run)
    provenance = {"command": run["command"], "seed": run["seed"], "split": "test"}
    serialization.save_exit_records(by_measure, out / EXIT_RECORDS, provenance)
    records.write_sweep(out / "sweep.csv", run)
    records.write_text(out / "table.md", report.table(run, published))
    test = by_measure["entropy"]
    exits = test.exits_at(run["choice"]["thresholds"])
    figures = (
        lambda: plots.tradeoff(run, published, out / "tradeoff"),
        lambda: plots.training(run, out / "training.png"),
        lambda: plots.exits(splits.test.images, test, exits, out / "exits.png", dataset.class_names),
        lambda: plots.exit_share(run, out / "exit_share.png"),
        # Last: all else is written by then.
        lambda: _try_report(out / REPORT, run, published, dataset, by_measure),
    )
    return [draw() for draw in terminal.counted("drawing", figures, "file")][-1]


def _try_report(path, run, published, dataset, by_measure):
    """Writes the report; gives the error where that fails. Without a report the run ends well, too."""
    try:
        write_report(path, run, published, by_measure, dataset.test.images, dataset.class_names)
    except Exception as error:  # whatever it is, no hours of training are to end in a traceback
        return error
    return None


def _tell(request, run, published, problem):
    """The summary, or the record as JSON, to stdout; the path of the report last."""
    others = sys.stderr if request.as_json else sys.stdout
    if request.as_json:
        sys.stdout.write((request.out / "run.json").read_text(encoding="utf-8"))
    elif not request.quiet:
        print(report.summary(run, published, request.out, terminal.stressing(sys.stdout)))
    if problem is not None:
        print(f"no report: {problem}", file=sys.stderr)
    elif not request.quiet:
        print(f"Report: {report.shorter_path(request.out / REPORT)}", file=others)

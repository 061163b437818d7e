"""Early exit against the plain network, on every engine that can be used here, for several batch sizes, in one run.

Takes trained weights (by default those released with the code), lets samples leave at T as given, or as the released
run chose it, or at the paper's exit mix, and times all contenders in turn on the same shuffled test images, on one
thread; on a GPU from the host's memory and from its own, with the energy that the card tells. One sample at a time is
timed by both clocks, too. The answers of every engine are held against the reference path on the whole test set, and
those of the timed runs again. Writes bench.json, bench.md and latency.png for each network; of a GPU batches.png, which
sets it beside a CPU.
"""

import argparse
import pathlib
import shlex
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
import peers
from subjects import DEVICE, HOST, PIXELS, load_subject

from branchynet import plots, records, report
from branchynet.bench import agreement, limits, paths
from branchynet.bench.energy import LEAST_S, energy_of
from branchynet.bench.timing import Clock, gain, latency_summary
from branchynet.errors import CompileError, DeviceError
from branchynet.experiment import (
    add_quiet,
    finite_number,
    nonempty_path,
    positive_number,
    seed_number,
    whole_number,
    writing_into,
)
from branchynet.experiment.recorded import shown_exits
from branchynet.inference import Answers, compile_net, compile_plain
from branchynet.inference.engines import engine_classes
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.machine import terminal, threads
from branchynet.machine.devices import get_device, nvml, to_host
from branchynet.machine.ending import exit_status
from networks import zoo

SCHEMA = 2
SCRIPT = "benchmark.py"
PLAIN, EARLY = "plain net", "early exit"
MIN_BATCHES = 3
MOST_SAMPLES = 1 << 17  # in a batch: of CIFAR-10 about 2 GB


def compile_all(net, transform=None):
    """Compiles both networks for every engine; with a transform they take images.

    Returns:
        {"ENGINE, plain net" and "ENGINE, early exit": compiled network}, {the same names: {compile_ms}}, and
        {engine that cannot be used: why}
    """
    compiled, costs, left_out = {}, {}, {}
    for engine in terminal.counted("compiling", list(reversed(engine_classes())), "engine"):
        for form, make in ((PLAIN, compile_plain), (EARLY, compile_net)):
            start = time.perf_counter()
            try:
                compiled[f"{engine}, {form}"] = make(net, engine=engine, device=net.device.name, transform=transform)
                costs[f"{engine}, {form}"] = {"compile_ms": 1e3 * (time.perf_counter() - start)}
            except CompileError as error:
                left_out[engine] = str(error)
    return compiled, costs, left_out


def make_contenders(net, compiled, rule) -> dict:
    """{name: function of a batch -> what it answers, where the batch is} of everything that is installed.

    Of an early-exit contender that is (labels, exits); what a plain one answers is not looked at.
    """
    contenders = {
        f"plain Chainer, {PLAIN}": paths.chainer_path(net),
        f"reference path, {EARLY}": paths.reference_path(net, rule),
    }
    contenders.update(compiled_contenders(compiled, rule))
    if net.xp is np and f"onnxruntime, {PLAIN}" in compiled:
        contenders[f"ONNX Runtime itself, {PLAIN}"] = peers.plain_onnxruntime(net)
    if net.xp is np and peers.has_torch():
        contenders[f"PyTorch eager, {PLAIN}"] = peers.plain_torch(net)
    return contenders


def compiled_contenders(compiled, rule) -> dict:
    """The same of compiled networks, which say in their names whether they let samples leave."""
    return {
        name: paths.compiled_path(compiled_net, rule if name.endswith(EARLY) else ())
        for name, compiled_net in compiled.items()
    }


def bench(subject, contenders, batch_size, budget_s, samples_in=HOST, joules=None):
    """Times all contenders on batches of one size.

    Args:
        subject: a `Subject`.
        contenders: of `make_contenders`.
        batch_size: samples; beyond the number of the images they come again.
        budget_s: seconds for the times, and as long, or longer, for the energy where `joules` () -> J tells it.
        samples_in: `HOST`, `PIXELS`, or `DEVICE` for the memory of the GPU.

    Returns:
        a row for each contender that had memory enough, and the names of the others
    """
    net, clock = subject.net, Clock(subject.net.device)
    batches = paths.batches_of(subject.samples_in(samples_in), batch_size, MIN_BATCHES)
    able, unable = _with_memory_enough(contenders, batches[0])
    rows = []
    with terminal.elapsing(f"{subject.name}, batches of {batch_size}, {samples_in}", budget_s):
        results = paths.time_batches(able, batches, net.device, budget_s, MIN_BATCHES)
    for name, (batch_ms, answers) in results.items():
        row = {"name": name, "batch_size": batch_size, "samples_in": samples_in, "n_batches": len(batch_ms)}
        row["ms_per_sample"] = latency_summary(batch_ms / batch_size)
        if joules:
            row["energy"] = energy_of(able[name], batches, joules, clock, max(budget_s / len(able), LEAST_S))
        if name.endswith(EARLY):
            row.update(_early_exit_figures(subject, batch_ms, answers))
            plain = [other for other in results if other.endswith(PLAIN)]
            row["gain_over"] = {other: gain(results[other][0], batch_ms) for other in plain}
        rows.append(row)
    return rows, unable


def _with_memory_enough(contenders, batch):
    """Those that can answer a batch, and the names of those that run out of memory."""
    able, unable = {}, []
    for name, answer in contenders.items():
        try:
            answer(batch)
            able[name] = answer
        except MemoryError:  # CuPy's is one
            unable.append(name)
    return able, unable


def _early_exit_figures(subject, batch_ms, answers):
    """Exit mix and latency per exit of an early-exit contender, its answers checked."""
    net, n = subject.net, len(subject.x)
    labels, exits = np.concatenate([[to_host(array) for array in batch] for batch in answers], axis=1)
    n_differing = 0
    for start in range(0, len(labels), n):  # the images, as often as they came
        found = labels[start : start + n], exits[start : start + n]
        expected = Answers(*[array[: len(found[0])] for array in subject.expected])
        n_differing += len(agreement.check_answers(net, subject.x, subject.rule, *found, expected=expected))
    exit_pct = 100 * np.bincount(exits, minlength=net.n_exits) / len(exits)
    figures = {"answers_on_the_edge_of_T": n_differing, "exit_pct": exit_pct.tolist()}
    if len(exits) == len(batch_ms):  # one sample at a time
        figures["ms_per_exit"] = [latency_summary(batch_ms[exits == n]) for n in range(net.n_exits)]
    return figures


def bench_network(subject, batch_sizes, budget_s):
    """Everything that is measured of one network, a part of bench.json: an iterator over what is known so far, which
    grows by the rows of a batch size at a time.

    Raises:
        CompileError: no engine can be used, so that no early exit is compared.
    """
    net, x, rule = subject.net, subject.x, subject.rule
    outcome = shown_exits(net, x, subject.labels, "test images").evaluate([rule.values])
    exit_pct = (100 * outcome.exit_shares[0]).tolist()
    compiled, costs, left_out = compile_all(net)
    if not compiled:
        raise CompileError(f"{subject.name}: expected an engine, got none: {left_out}")
    agreements = {
        name: agreement.agreement(net, compiled[name], x, rule, expected=subject.expected)
        for name in terminal.counted("comparing answers", [name for name in compiled if name.endswith(EARLY)], "engine")
    }
    one_by_one = paths.Contenders.of(net)
    with terminal.elapsing(f"{subject.name}, one sample at a time, both clocks", budget_s):
        measured = paths.measure(one_by_one, x, [rule], budget_s).summary(0, net.n_exits)
    joules, energy = _energy(net.device)
    rows, places = [], {HOST: make_contenders(net, compiled, rule)}
    if net.xp is not np:
        places[PIXELS] = compiled_contenders(compile_all(net, subject.transform)[0], rule)
        places[DEVICE] = places[HOST]
    result = {
        "network": subject.name,
        "weights_sha256": subject.weights_sha256,
        "dataset_sha256": subject.dataset_sha256,
        "n_images": len(x),
        "thresholds": list(rule.values),
        "exit_pct": exit_pct,
        "accuracy_pct": 100 * float(outcome.accuracies[0]),
        "limits": limits.gain_limits(make_plan(net), make_plain_plan(net), exit_pct),
        "compile": costs,
        "left_out": left_out,
        "agreement": agreements,
        "engine": one_by_one.compiled.engine,
        "measured": measured,
        "energy": energy,
        "rows": rows,
    }
    for samples_in, contenders in places.items():
        for batch_size in batch_sizes:
            more, unable = bench(subject, contenders, batch_size, budget_s, samples_in, joules)
            rows += more
            where = f"batches of {batch_size}, {samples_in}"
            left_out.update({f"{name}, {where}": "out of memory" for name in unable})
            for name, compiled_net in compiled.items():
                costs[name]["buffers_bytes"] = compiled_net.n_bytes()
            yield result


def _energy(device):
    """() -> energy that the device has used, in J, or None; and what a record says of it."""
    try:
        joules = nvml(device).joules
        joules()
    except DeviceError as error:
        return None, {"not_measured": str(error)}
    return joules, {"source": "NVML, nvmlDeviceGetTotalEnergyConsumption: the whole card, idle power included"}


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    names, released = list(zoo.NETWORKS), zoo.released_names()
    parser.add_argument("--networks", choices=names, nargs="+", default=released, help="default: all that are released")
    parser.add_argument("--weights", type=nonempty_path, metavar="DIR", help="of one network (default: those released)")
    parser.add_argument("--data-dir", type=nonempty_path, metavar="DIR", help="folder of the data sets")
    parser.add_argument("--device", default="cpu", metavar="cpu|gpu|gpu:N", help="default: %(default)s")
    batch_size = whole_number(1, MOST_SAMPLES)
    parser.add_argument("--batch-sizes", type=batch_size, nargs="+", default=[1, 32, 1024], metavar="N")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--thresholds", type=finite_number, nargs="+", metavar="T", help="of one network, in nats")
    where.add_argument("--paper-mix", action="store_true", help="T at the paper's exit mix, not as the run chose it")
    budget = "seconds for each batch size, and for both clocks (default: %(default)g)"
    parser.add_argument("--budget", type=positive_number, default=paths.BUDGET_S, metavar="S", help=budget)
    parser.add_argument("--seed", type=seed_number, default=0, metavar="N", help="of the order of the test images")
    text = "measure nothing, but say what is missing: a GPU, weights, data"
    parser.add_argument("--check", action="store_true", help=text)
    text = "a folder for each network in it"
    parser.add_argument("--out", type=nonempty_path, required=True, metavar="DIR", help=text)
    add_quiet(parser)
    options = parser.parse_args(argv)
    if len(options.networks) > 1 and (options.weights or options.thresholds):
        parser.error("--weights and --thresholds are of one network; name it: --networks lenet")
    return options


def _command(name, options):
    """The command that measures one of the networks alone; it says what is done, not where files lie."""
    words = [f"experiments/{SCRIPT}", "--networks", name, "--device", options.device]
    words += ["--batch-sizes", *options.batch_sizes, "--budget", f"{options.budget:g}", "--seed", options.seed]
    words += ["--weights", options.weights.resolve().name] if options.weights else []
    words += ["--thresholds", *options.thresholds] if options.thresholds else []
    return shlex.join(map(str, words + ["--paper-mix"] * options.paper_mix))


def _run(options):
    device = get_device(options.device)
    device.use()
    setting = (device, options.seed, options.data_dir, options.weights, options.thresholds, options.paper_mix)
    subjects = [load_subject(name, *setting) for name in options.networks]
    if options.check:
        return
    with writing_into(options.out):
        folders = [records.prepare_output(options.out / name) for name in options.networks]
        for subject, out in zip(subjects, folders):
            _measure(subject, options, device, out)


def _measure(subject, options, device, out):
    """Measures one network; leaves the results in a folder, each batch size as it has been measured."""
    command = _command(subject.name, options)
    header = {"schema": SCHEMA, "command": command, "seed": options.seed, "device": options.device}
    with threads.limited(1):
        for measured in bench_network(subject, options.batch_sizes, options.budget):
            environment = records.environment(device, 1)
            environment["versions"].update(peers.versions())
            result = {**header, **measured, "environment": environment}
            records.write_json(out / "bench.json", result)
            records.write_text(out / "bench.md", report.benchmark_tables(result))
    plots.latencies(result, out / "latency.png")
    if device.xp is not np:
        on_cpu = zoo.RELEASED.glob(f"bench/{subject.name}/bench.json")
        beside = [records.read_json(path) for path in on_cpu]
        plots.by_batch_size([result, *beside], out / "batches.png")
    print(report.benchmark_tables(result))


def main(argv=None):
    """Runs the benchmark; returns the exit status."""
    options = parse_arguments(argv)
    stopped = "stopped; what was measured is in the folder, --networks and --batch-sizes name the rest"
    return exit_status(SCRIPT, lambda: _run(options), stopped, quiet=options.quiet)


if __name__ == "__main__":
    sys.exit(main())

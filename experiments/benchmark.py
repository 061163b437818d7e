"""Early exit against the plain network, on every engine that is installed, for several batch sizes, in one run.

Takes trained weights (by default those released with the code), lets samples leave at T as given, or as the released
run chose it, or at the paper's exit mix, and times all contenders in turn on the same shuffled test samples. The
answers of every engine are held against the reference path on the whole test set, and those of the timed runs again.
Writes bench.json, bench.md and latency.png for each network.
"""

import argparse
import importlib.util
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
from peers import torch_layers
from released import NETWORKS, is_released, load_network

from branchynet import agreement, benchmark, plots, records, report, threads
from branchynet.choosers import thresholds_for_shares
from branchynet.command_line import exit_status, whole_number
from branchynet.devices import describe, get_device, to_host
from branchynet.functions import plain_chainer
from branchynet.inference import compile, compile_plain, record_exits, run
from branchynet.inference.compiled import onnxruntime_problem
from branchynet.inference.plan import gain_limits, make_plain_plan, make_plan
from branchynet.thresholds import as_exit_rule, evaluate
from branchynet.timing import Clock, gain, latency_summary, time_interleaved

# Shares of all samples leaving at each early exit: Table I of the paper.
PAPER_EXIT_MIX = {"lenet": (0.943,), "alexnet-paper": (0.656, 0.252), "alexnet-authors": (0.656, 0.252)}


def compile_all(net, device):
    """{"ENGINE, plain net" and "ENGINE, early exit": compiled network} of all engines, and what compiling cost."""
    compiled, costs = {}, {}
    for engine in ["arrays"] + ([] if device != "cpu" or onnxruntime_problem() else ["onnxruntime"]):
        for form, make in (("plain net", compile_plain), ("early exit", compile)):
            start = time.perf_counter()
            compiled[f"{engine}, {form}"] = make(net, net.sample_shape, engine, device)
            costs[f"{engine}, {form}"] = {"compile_ms": 1e3 * (time.perf_counter() - start)}
    return compiled, costs


def make_contenders(net, compiled, rule, on_gpu):
    """{name: function of a batch on the host -> (labels, exits or None)} for everything that is installed."""
    plain_net = net.baseline()

    def chainer_plain(x):
        with plain_chainer():
            return to_host(plain_net(net.device.send(x)).array.argmax(axis=1)), None

    def reference(x):
        answers = run(net, x, rule)
        return to_host(answers.labels), to_host(answers.exits)

    contenders = {"plain Chainer, plain net": chainer_plain, "reference path, early exit": reference}
    for name, compiled_net in compiled.items():
        contenders[name] = _compiled(compiled_net, rule if "early exit" in name else ())
    if not on_gpu and not onnxruntime_problem():
        contenders["ONNX Runtime itself, plain net"] = _plain_onnxruntime(net)
    if importlib.util.find_spec("torch") is not None and not on_gpu:
        contenders["PyTorch eager, plain net"] = _plain_torch(net)
    return contenders


def _compiled(compiled, thresholds):
    def answer(x):
        answers = compiled.run(x, thresholds)
        return to_host(answers.labels), to_host(answers.exits)

    return answer


def _plain_onnxruntime(net):
    """The plain network in one ONNX Runtime session, with nothing of this library around it."""
    from branchynet.inference.onnx_graph import segment_model
    from branchynet.inference.onnxruntime_engine import make_session

    session = make_session(segment_model(make_plain_plan(net, net.sample_shape).segments[0], is_last=True), 1)
    return lambda x: (session.run(["logits"], {"x": x})[0].argmax(axis=1), None)


def _plain_torch(net):
    import torch

    torch.set_num_threads(1)
    layers = [layer for stage in net.trunk for layer in stage.layers] + net.exits[-1].layers
    model = torch_layers(layers).eval()

    def answer(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x)).argmax(dim=1).numpy(), None

    return answer


def bench(net, x, rule, contenders, batch_size, budget_s):
    """Times all contenders on batches of one size; returns a row for each."""
    batches = [x[i : i + batch_size] for i in range(0, len(x) - batch_size + 1, batch_size)]
    with benchmark.inference_mode():
        for answer in contenders.values():
            answer(batches[0])
        start = time.perf_counter()
        for answer in contenders.values():
            answer(batches[-1])
        n_batches = int(np.clip(budget_s / (time.perf_counter() - start), 3, min(len(batches), 2000)))
        results = time_interleaved(contenders, batches[:n_batches], Clock(net.device), warm_up=min(20, n_batches))
    rows = []
    for name, (batch_ms, answers) in results.items():
        row = {"name": name, "batch_size": batch_size, "n_batches": n_batches}
        row["ms_per_sample"] = latency_summary(batch_ms / batch_size)
        if "early exit" in name:
            row.update(_early_exit_figures(net, x, rule, batch_ms, answers, batch_size))
            plain = [other for other in results if other.endswith("plain net")]
            row["gain_over"] = {other: gain(results[other][0], batch_ms) for other in plain}
        rows.append(row)
    return rows


def _early_exit_figures(net, x, rule, batch_ms, answers, batch_size):
    """Exit mix and latency per exit of an early-exit contender, its answers checked."""
    labels = np.concatenate([labels for labels, _ in answers])
    exits = np.concatenate([exits for _, exits in answers])
    n_on_edge = agreement.check_answers(net, x[: len(labels)], rule, labels, exits)
    figures = {
        "answers_on_the_edge_of_T": n_on_edge,
        "exit_pct": (100 * np.bincount(exits, minlength=net.n_exits) / len(exits)).tolist(),
    }
    if batch_size == 1:
        figures["ms_per_exit"] = [latency_summary(batch_ms[exits == n]) for n in range(net.n_exits)]
    return figures


def bench_network(name, weights, thresholds, arguments):
    """Everything about one network; returns the result that is written to bench.json.

    Args:
        name: of `NETWORKS`.
        weights: folder of an experiment's results; None for those released.
        thresholds: nats, one for each early exit; None for those that the run chose, or for the paper's exit mix where
            the folder holds no record, or the command line asks for it.
        arguments: the parsed command line.
    """
    device = get_device(arguments.device)
    device.use()
    net, splits, prepare, run_record = load_network(NETWORKS[name], weights, arguments.data_dir)
    net.to_device(device)

    order = np.random.default_rng(0).permutation(len(splits.test))
    x, labels = prepare(splits.test.images[order]), splits.test.labels[order]
    if thresholds is None and run_record is not None and not arguments.paper_mix:
        thresholds = run_record["choice"]["thresholds"]
    if thresholds is None:
        validation = record_exits(net, prepare(splits.validation.images), splits.validation.labels)
        thresholds = thresholds_for_shares(validation, PAPER_EXIT_MIX[name])
    rule = as_exit_rule(tuple(thresholds), net.n_exits)
    evaluation = evaluate(record_exits(net, x, labels), rule)
    exit_pct = [100 * share for share in evaluation.exit_shares]

    with threads.limited(1):
        compiled, costs = compile_all(net, arguments.device)
        early = {key: compiled_net for key, compiled_net in compiled.items() if "early exit" in key}
        agreements = {key: agreement.agreement(net, early[key], x, rule) for key in early}
        contenders = make_contenders(net, compiled, rule, arguments.device != "cpu")
        rows = []
        for batch_size in arguments.batch_sizes:
            rows += bench(net, x, rule, contenders, batch_size, arguments.budget)
    for key, compiled_net in compiled.items():
        costs[key]["buffers_bytes"] = compiled_net.n_bytes()
    plans = make_plan(net, net.sample_shape), make_plain_plan(net, net.sample_shape)
    return {
        "network": name,
        "device": arguments.device,
        "thresholds": list(rule.values),
        "exit_pct": exit_pct,
        "accuracy_pct": 100 * evaluation.accuracy,
        "limits": gain_limits(*plans, exit_pct),
        "compile": costs,
        "agreement": agreements,
        "environment": records.environment(describe(device), 1),
        "rows": rows,
    }


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    released = [name for name, network in NETWORKS.items() if is_released(network)]
    parser.add_argument(
        "--networks", choices=list(NETWORKS), nargs="+", default=released, help="default: all that are released"
    )
    parser.add_argument("--weights", type=pathlib.Path, metavar="DIR", help="of one network (default: those released)")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data sets")
    parser.add_argument("--device", default="cpu", metavar="cpu|gpu|gpu:N", help="default: %(default)s")
    parser.add_argument("--batch-sizes", type=whole_number(1), nargs="+", default=[1, 32, 1024], metavar="N")
    parser.add_argument("--thresholds", type=float, nargs="+", metavar="T", help="of one network, in nats")
    parser.add_argument("--paper-mix", action="store_true", help="T at the paper's exit mix, not as the run chose it")
    parser.add_argument("--budget", type=float, default=20.0, metavar="S", help="seconds per batch size (default: 20)")
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, metavar="DIR", help="a folder for each network in it"
    )
    arguments = parser.parse_args(argv)
    if len(arguments.networks) > 1 and (arguments.weights or arguments.thresholds):
        parser.error("--weights and --thresholds are of one network; name it: --networks lenet")
    return arguments


def _run(arguments):
    for name in arguments.networks:
        out = records.prepare_output(arguments.out / name)
        result = bench_network(name, arguments.weights, arguments.thresholds, arguments)
        records.write_json(out / "bench.json", result)
        records.write_text(out / "bench.md", report.benchmark_tables(result))
        plots.latencies(result, out / "latency.png")
        print(report.benchmark_tables(result))


def main():
    """Runs the benchmark; returns the exit status."""
    arguments = parse_arguments()
    return exit_status("benchmark.py", lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())

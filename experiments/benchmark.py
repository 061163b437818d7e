"""Early exit against the plain network, on every engine that is installed, for several batch sizes, in one run.

Takes the weights that an experiment left behind, lets samples leave at T as given or at the paper's exit mix, and times
all contenders in turn on the same shuffled test samples. Answers of the timed paths are checked against the reference
path. Writes bench.json, bench.md and latency.png.
"""

import argparse
import importlib.util
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
from peers import torch_layers

from branchynet import BranchyNet, benchmark, datasets, load_weights, plots, records, threads
from branchynet.choosers import thresholds_for_shares
from branchynet.command_line import whole_number
from branchynet.datasets.preprocessing import Normaliser, scale
from branchynet.devices import describe, get_device, to_host
from branchynet.errors import UserError
from branchynet.functions import plain_chainer
from branchynet.inference import compile, compile_plain, record_exits, run
from branchynet.inference.compiled import onnxruntime_problem
from branchynet.inference.plan import make_plain_plan, make_plan
from branchynet.thresholds import as_exit_rule, assign_exits, evaluate
from branchynet.timing import Clock, gain, latency_summary, time_interleaved
from networks import alexnet_cifar10, lenet_mnist

NETWORKS = {
    "lenet": (lambda: lenet_mnist.get_network(), "mnist", False),
    "alexnet-paper": (lambda: alexnet_cifar10.get_network(placement="paper"), "cifar10", True),
    "alexnet-authors": (lambda: alexnet_cifar10.get_network(placement="authors"), "cifar10", True),
}
# Shares of all samples leaving at each early exit: Table I of the paper.
PAPER_EXIT_MIX = {"lenet": (0.943,), "alexnet-paper": (0.656, 0.252), "alexnet-authors": (0.656, 0.252)}


def make_contenders(net, device, rule):
    """{name: (function of a batch on the host -> (labels, exits or None))} for everything that is installed."""
    contenders, costs = {}, {}
    plain_net = net.baseline()

    def chainer_plain(x):
        with plain_chainer():
            return to_host(plain_net(net.device.send(x)).array.argmax(axis=1)), None

    def reference(x):
        answers = run(net, x, rule)
        return to_host(answers.labels), to_host(answers.exits)

    contenders["plain Chainer, plain net"] = chainer_plain
    contenders["reference path, early exit"] = reference
    on_gpu = device != "cpu"
    for engine in ["arrays"] + ([] if on_gpu or onnxruntime_problem() else ["onnxruntime"]):
        for name, make in (("plain net", compile_plain), ("early exit", compile)):
            start = time.perf_counter()
            compiled = make(net, net.sample_shape, engine, device)
            costs[f"{engine}, {name}"] = {
                "compile_ms": 1e3 * (time.perf_counter() - start),
                "buffers_bytes": compiled.n_bytes(),
            }
            contenders[f"{engine}, {name}"] = _compiled(compiled, rule if name == "early exit" else ())
    if not on_gpu and not onnxruntime_problem():
        contenders["ONNX Runtime itself, plain net"] = _plain_onnxruntime(net)
    if importlib.util.find_spec("torch") is not None and not on_gpu:
        contenders["PyTorch eager, plain net"] = _plain_torch(net)
    return contenders, costs


def _compiled(compiled, thresholds):
    def answer(x):
        answers = compiled.run(x, thresholds)
        return to_host(answers.labels), to_host(answers.exits)

    return answer


def _plain_onnxruntime(net):
    """The plain network in one ONNX Runtime session, with nothing of this library around it."""
    from branchynet.inference.onnx_graph import segment_model
    from branchynet.inference.onnxruntime_engine import make_session

    session = make_session(segment_model(make_plain_plan(net, net.sample_shape).segments[0]), 1)
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


def bench(net, x, rule, device, batch_size, budget_s):
    """Times all contenders on batches of one size; returns rows and what compiling cost."""
    contenders, costs = make_contenders(net, device, rule)
    clock = Clock(net.device)
    batches = [x[i : i + batch_size] for i in range(0, len(x) - batch_size + 1, batch_size)]
    with benchmark.inference_mode():
        for answer in contenders.values():
            answer(batches[0])
        start = time.perf_counter()
        for answer in contenders.values():
            answer(batches[-1])
        n_batches = int(np.clip(budget_s / (time.perf_counter() - start), 3, min(len(batches), 2000)))
        results = time_interleaved(contenders, batches[:n_batches], clock, warm_up=min(20, n_batches))
    rows = []
    for name, (batch_ms, answers) in results.items():
        row = {"name": name, "batch_size": batch_size, "n_batches": n_batches}
        row["ms_per_sample"] = latency_summary(batch_ms / batch_size)
        row.update(_early_exit_figures(net, x, rule, name, batch_ms, answers, batch_size))
        rows.append(row)
    for row in rows:
        # Early exit against everything plain that was timed beside it.
        if "early exit" in row["name"]:
            own_ms = results[row["name"]][0]
            row["gain_over"] = {
                other: gain(results[other][0], own_ms) for other in results if other.endswith("plain net")
            }
    return rows, costs


def _early_exit_figures(net, x, rule, name, batch_ms, answers, batch_size):
    """Exit mix and latency per exit of an early-exit contender, its answers checked; nothing for a plain one."""
    if answers[0][1] is None or "early exit" not in name:
        return {}
    labels = np.concatenate([labels for labels, _ in answers])
    exits = np.concatenate([exits for _, exits in answers])
    n_on_edge = benchmark.check_answers(net, x[: len(labels)], rule, labels, exits)
    figures = {
        "answers_on_the_edge_of_T": n_on_edge,
        "exit_pct": (100 * np.bincount(exits, minlength=net.n_exits) / len(exits)).tolist(),
    }
    if batch_size == 1:
        figures["ms_per_exit"] = [latency_summary(batch_ms[exits == n]) for n in range(net.n_exits)]
    return figures


def limits(net, exit_pct):
    """The multiply-add limit of the gain at this exit mix, and the break-even of each early exit.

    An early exit's head is paid by every sample that reaches it and spares those that leave all that lies behind; it
    pays for itself from that share of leavers on at which both are equal.
    """
    plan, plain = make_plan(net, net.sample_shape), make_plain_plan(net, net.sample_shape)
    paths, plain_count = plan.path_multiply_adds(), plain.path_multiply_adds()[0]
    expected = sum(share / 100 * count for share, count in zip(exit_pct, paths))
    exits = []
    reaching_pct = 100.0
    for n, segment in enumerate(plan.segments[:-1]):
        behind = (
            sum(later.trunk_multiply_adds for later in plan.segments[n + 1 :]) + plan.segments[-1].head_multiply_adds
        )
        exits.append(
            {
                "exit": n + 1,
                "multiply_adds_to_leave": paths[n],
                "head_multiply_adds": segment.head_multiply_adds,
                "break_even_pct_of_reaching": 100 * segment.head_multiply_adds / behind,
                "leaving_pct_of_reaching": 100 * exit_pct[n] / reaching_pct if reaching_pct else 0.0,
            }
        )
        reaching_pct -= exit_pct[n]
    return {
        "plain_multiply_adds": plain_count,
        "multiply_add_limit_of_gain": plain_count / expected,
        "early_exits": exits,
    }


def markdown(result):
    """The table of a benchmark."""
    mix = ", ".join(f"{share:.1f}" for share in result["exit_pct"])
    lines = [
        f"### {result['network']}, {result['device']}: {result['environment']['device']}, 1 thread",
        "",
        f"T = {', '.join(f'{t:.4g}' for t in result['thresholds'])}; exit mix {mix} %; test accuracy "
        f"{result['accuracy_pct']:.2f} %; the multiply-adds allow a gain of "
        f"{result['limits']['multiply_add_limit_of_gain']:.2f}x.",
        "",
        "| Contender | Batch | Mean (ms per sample) | p50 | p90 | p99 | Early exit is faster by (same engine) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = " | ".join(f"{row['ms_per_sample'][key]:.4f}" for key in ("mean", "p50", "p90", "p99"))
        same_engine = row["name"].replace("early exit", "plain net")
        ratio = row.get("gain_over", {}).get(same_engine)
        text = f"{ratio['value']:.2f}x ({ratio['low']:.2f}-{ratio['high']:.2f})" if ratio else ""
        lines.append(f"| {row['name']} | {row['batch_size']} | {cells} | {text} |")
    lines += ["", "| Early exit of | over | Batch | Gain |", "|---|---|---|---|"]
    for row in result["rows"]:
        gains = {} if "reference" in row["name"] else row.get("gain_over", {})
        for other, ratio in gains.items():
            text = f"{ratio['value']:.2f}x ({ratio['low']:.2f}-{ratio['high']:.2f})"
            lines.append(f"| {row['name']} | {other} | {row['batch_size']} | {text} |")
    lines += ["", "| Exit | Multiply-adds to leave | Head | Pays from (% of those who reach it) | Leave (% of those) |"]
    lines.append("|---|---|---|---|---|")
    for entry in result["limits"]["early_exits"]:
        lines.append(
            f"| {entry['exit']} | {entry['multiply_adds_to_leave']:,} | {entry['head_multiply_adds']:,} | "
            f"{entry['break_even_pct_of_reaching']:.1f} | {entry['leaving_pct_of_reaching']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="lenet", help="default: %(default)s")
    parser.add_argument("--weights", required=True, metavar="DIR", help="folder of an experiment's results")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set")
    parser.add_argument("--device", default="cpu", metavar="cpu|gpu|gpu:N", help="default: %(default)s")
    parser.add_argument("--batch-sizes", type=whole_number(1), nargs="+", default=[1, 32, 1024], metavar="N")
    parser.add_argument(
        "--thresholds", type=float, nargs="+", metavar="T", help="nats (default: those of the paper's exit mix)"
    )
    parser.add_argument("--budget", type=float, default=20.0, metavar="S", help="seconds per batch size (default: 20)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for bench.json, bench.md, latency.png")
    return parser.parse_args()


def main():
    """Runs the benchmark; returns the exit status."""
    try:
        _run(parse_arguments())
    except UserError as error:
        print(f"benchmark.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(arguments):
    device = get_device(arguments.device)
    device.use()
    out = pathlib.Path(arguments.out)
    records.prepare_output(out)
    build, dataset_name, normalise = NETWORKS[arguments.network]
    splits = datasets.load(dataset_name, arguments.data_dir).split()
    prepare = Normaliser.fit(splits.train.images) if normalise else scale
    net = BranchyNet(build())
    net.initialise(prepare(splits.test.images[:1]).shape[1:])
    load_weights(net, pathlib.Path(arguments.weights) / "weights")
    net.to_device(device)

    order = np.random.default_rng(0).permutation(len(splits.test))
    x, labels = prepare(splits.test.images[order]), splits.test.labels[order]
    validation = record_exits(net, prepare(splits.validation.images), splits.validation.labels)
    thresholds = arguments.thresholds or thresholds_for_shares(validation, PAPER_EXIT_MIX[arguments.network])
    rule = as_exit_rule(tuple(thresholds), net.n_exits)
    test = record_exits(net, x, labels)
    exit_pct = (100 * np.bincount(assign_exits(test.entropies, rule), minlength=net.n_exits) / len(labels)).tolist()

    rows, costs = [], {}
    with threads.limited(1):
        for batch_size in arguments.batch_sizes:
            more, costs = bench(net, x, rule, arguments.device, batch_size, arguments.budget)
            rows += more
    result = {
        "network": arguments.network,
        "device": arguments.device,
        "thresholds": list(rule.values),
        "exit_pct": exit_pct,
        "accuracy_pct": 100 * evaluate(test, rule).accuracy,
        "limits": limits(net, exit_pct),
        "compile": costs,
        "environment": records.environment(describe(device), 1),
        "rows": rows,
    }
    records.write_json(out / "bench.json", result)
    records.write_text(out / "bench.md", markdown(result))
    plots.latencies(result, out / "latency.png")
    print(markdown(result))


if __name__ == "__main__":
    sys.exit(main())

"""What a step of joint training costs: this library against plain Chainer and PyTorch, in turn, in one run.

All train the same network, made from the same network list: forward through all exits, weighted sum of losses,
backward, Adam. The order is reversed on every other round, so that a drift of the machine's speed touches all alike.
"""

import argparse
import contextlib
import importlib.util
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
import threadpoolctl
from peers import torch_layers

from branchynet import BranchyNet, functions, records, threads
from branchynet.command_line import whole_number
from branchynet.devices import describe, get_device
from branchynet.timing import gain
from branchynet.training import JointLoss, TrainingSettings
from networks import alexnet_cifar10, lenet_mnist

NETWORKS = {"lenet": lenet_mnist, "alexnet": alexnet_cifar10}


def chainer_step(layers, x, t):
    """A training step of a network list in Chainer, as a function without arguments."""
    net = BranchyNet(layers)
    loss, settings = JointLoss(net), TrainingSettings(epochs=1)
    optimizers = [settings.adam(target) for target in loss.targets().values()]

    def step():
        net.cleargrads()
        loss(x, t).backward()
        for optimizer in optimizers:
            optimizer.update()

    return step


def torch_step(layers, x, t, n_threads):
    """The same training step in PyTorch eager, as a function without arguments."""
    import torch

    net = BranchyNet(layers)
    stages = torch.nn.ModuleList([torch_layers(stage.layers) for stage in net.trunk])
    exits = torch.nn.ModuleList([torch_layers(branch.layers) for branch in net.exits])
    optimizer = torch.optim.Adam([*stages.parameters(), *exits.parameters()], lr=3e-3)
    x, t = torch.from_numpy(x), torch.from_numpy(t.astype(np.int64))

    def step():
        torch.set_num_threads(n_threads)
        optimizer.zero_grad()
        h, loss = x, 0
        for stage, branch, weight in zip(stages, exits, net.loss_weights):
            h = stage(h)
            loss = loss + weight * torch.nn.functional.cross_entropy(branch(h), t)
        loss.backward()
        optimizer.step()

    return step


def contenders(module, x, t, n_threads):
    """{name: (context that gives it its threads, training step)} for everything that is installed."""
    steps = {
        "branchynet": (lambda: threads.limited(n_threads), chainer_step(module.get_network(), x, t)),
        # Plain Chainer uses more than one core only within BLAS, which has all of them here.
        "plain Chainer": (lambda: plain_chainer_threads(n_threads), chainer_step(module.get_network(), x, t)),
    }
    if importlib.util.find_spec("torch") is not None:
        for n in sorted({1, n_threads}):
            name = f"PyTorch eager, {n} thread{'s' if n > 1 else ''}"
            steps[name] = (contextlib.nullcontext, torch_step(module.get_network(), x, t, n))
    return steps


@contextlib.contextmanager
def plain_chainer_threads(n_threads):
    """Chainer's own functions, with that many threads in BLAS."""
    with threadpoolctl.threadpool_limits(n_threads), functions.plain_chainer():
        yield


def time_in_turn(steps, n_rounds):
    """{name: seconds of each step (3 n_rounds,)}, after one round that does not count.

    A turn is one step that is not timed and three that are: threads of the one before may still be spinning at first.
    """
    seconds = {name: [] for name in steps}
    for n in range(n_rounds + 1):
        for name in steps if n % 2 else reversed(steps):
            context, step = steps[name]
            with context():
                step()
                for _ in range(3):
                    start = time.perf_counter()
                    step()
                    if n > 0:
                        seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def main():
    """Prints the table; writes it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="lenet", help="default: %(default)s")
    parser.add_argument("--batch-size", type=whole_number(1), default=256, help="default: %(default)s")
    parser.add_argument("--rounds", type=whole_number(2), default=20, help="default: %(default)s")
    parser.add_argument("--threads", type=whole_number(1), default=threads.usable_cores(), help="default: %(default)s")
    parser.add_argument("--out", type=pathlib.Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()

    module = NETWORKS[arguments.network]
    rng = np.random.default_rng(0)
    x = rng.random((arguments.batch_size, *module.INPUT_SHAPE), dtype=np.float32)
    t = rng.integers(0, 10, arguments.batch_size).astype(np.int32)
    seconds = time_in_turn(contenders(module, x, t, arguments.threads), arguments.rounds)

    processor = describe(get_device("cpu"))
    print(f"B-{module.NAME}, joint training, batch {arguments.batch_size}, {arguments.threads} threads, {processor}")
    rows = []
    for name, values in seconds.items():
        ms = 1e3 * values / arguments.batch_size
        ratio = gain(values, seconds["branchynet"], statistic=np.median)
        rows.append(
            {
                "name": name,
                "ms_per_sample": {"median": float(np.median(ms)), "min": ms.min()},
                "against_branchynet": ratio,
            }
        )
        interval = f"{ratio['value']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        print(
            f"{name:26} {np.median(ms):7.3f} ms per sample (median; min {ms.min():.3f}); "
            f"times that of branchynet: {interval}"
        )
    if arguments.out is not None:
        environment = records.environment(processor, arguments.threads)
        settings = {"network": module.NAME, "batch_size": arguments.batch_size, "rounds": arguments.rounds}
        records.write_json(arguments.out, {**settings, "environment": environment, "contenders": rows})


if __name__ == "__main__":
    main()

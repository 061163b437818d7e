"""What a step of joint training costs: this library against plain Chainer and PyTorch, in turn, in one run.

All train the same network, made from the same network list: forward through all exits, weighted sum of losses,
backward, Adam. The order is reversed on every other round, so that a drift of the machine's speed touches all alike.
Started by mpiexec, training shared out to the processes is one more contender; the others compute in the first process
while the rest wait. Peak memory is that of a process of its own for each contender.
"""

import argparse
import contextlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import numpy as np
import threadpoolctl
from peers import torch_layers

from branchynet import BranchyNet, functions, memory, records, threads
from branchynet.command_line import whole_number
from branchynet.datasets.augmentation import random_crop_and_flip
from branchynet.datasets.preprocessing import Normaliser
from branchynet.devices import describe, get_device
from branchynet.processes import LAUNCHER_VARIABLES, Processes, get_processes
from branchynet.timing import gain
from branchynet.training import JointLoss, ShuffledBatches, TrainingSettings
from networks import alexnet_cifar10, lenet_mnist

BASELINE = "branchynet"
NETWORKS = {"lenet": lenet_mnist, "alexnet": alexnet_cifar10}


def ours(processes):
    """Name of the contender that the others are compared with: all processes together, where there are several."""
    return BASELINE if processes.size == 1 else f"{BASELINE}, {processes.size} processes"


class Contender(typing.NamedTuple):
    """What takes a training step, and how.

    Attributes:
        step: function without arguments.
        context: gives it its threads.
        by_all: every process takes part.
    """

    step: typing.Callable
    context: typing.Callable
    by_all: bool = False


def chainer_step(layers, x, t, processes=None):
    """A training step of a network list in Chainer, as a function without arguments; shared out to the processes."""
    processes = processes or Processes()
    net = BranchyNet(layers)
    net.initialise(x.shape[1:])
    processes.send_first_weights(net)
    loss, settings = JointLoss(net), TrainingSettings(epochs=1)
    optimizers = [settings.adam(target) for target in loss.targets().values()]
    share = processes.share(len(x))
    x, t = x[share.rows], t[share.rows]

    def step():
        net.cleargrads()
        value = loss(x, t)
        value.grad = np.full_like(value.array, share.weight)
        value.backward()
        for optimizer in optimizers:
            processes.mean_gradients(optimizer.target)
            optimizer.update()

    return step


def torch_step(layers, x, t, n_threads):
    """The same training step in PyTorch eager, as a function without arguments."""
    import torch

    net = BranchyNet(layers)
    # Like ours, it does once what a branch and the trunk behind it both begin with.
    stages, exits = (torch.nn.ModuleList(map(torch_layers, parts)) for parts in zip(*net.segments()))
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


def contenders(module, x, t, n_threads, processes):
    """{name: function that makes the `Contender`} for everything that is installed."""
    made = {
        BASELINE: lambda: Contender(chainer_step(module.get_network(), x, t), lambda: threads.limited(n_threads)),
        # Plain Chainer uses more than one core only within BLAS, which has all of them here.
        "plain Chainer": lambda: Contender(
            chainer_step(module.get_network(), x, t), lambda: plain_chainer_threads(n_threads)
        ),
    }
    if processes.size > 1:
        each = max(1, n_threads // processes.on_this_machine)
        made[ours(processes)] = lambda: Contender(
            chainer_step(module.get_network(), x, t, processes), lambda: threads.limited(each), by_all=True
        )
    if importlib.util.find_spec("torch") is not None:
        for n in sorted({1, n_threads}):
            made[f"PyTorch eager, {n} thread{'s' if n > 1 else ''}"] = lambda n=n: Contender(
                torch_step(module.get_network(), x, t, n), contextlib.nullcontext
            )
    return made


@contextlib.contextmanager
def plain_chainer_threads(n_threads):
    """Chainer's own functions, with that many threads in BLAS."""
    with threadpoolctl.threadpool_limits(n_threads), functions.plain_chainer():
        yield


def time_in_turn(steps, n_rounds, processes):
    """{name: seconds of each step (3 n_rounds,)}, after one round that does not count.

    A turn is one step that is not timed and three that are: threads of the one before may still be spinning at first.
    """
    seconds = {name: [] for name in steps}
    for n in range(n_rounds + 1):
        for name in steps if n % 2 else reversed(steps):
            contender = steps[name]
            if contender.by_all or processes.is_first:
                with contender.context():
                    contender.step()
                    for _ in range(3):
                        start = time.perf_counter()
                        contender.step()
                        if n > 0:
                            seconds[name].append(time.perf_counter() - start)
            processes.wait()
    return {name: np.array(values) for name, values in seconds.items()}


def preparation_ms(module, batch_size, n_batches=20):
    """Milliseconds per sample, median, that cropping, flipping and normalising a batch take; part of no step above."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10 * batch_size, *module.INPUT_SHAPE)).astype(np.uint8)
    labels = np.zeros(len(images), np.int32)
    batches = ShuffledBatches(images, labels, batch_size, Normaliser.fit(images), augment=random_crop_and_flip)
    seconds = []
    with threads.limited(1):
        for _ in range(n_batches):
            start = time.perf_counter()
            next(batches)
            seconds.append(time.perf_counter() - start)
    return float(1e3 * np.median(seconds) / batch_size)


def own_peak_memory_mb():
    """Peak resident memory of this process, MB; NaN where the system is not Linux.

    Not `resource.getrusage`: its figure outlives exec, and is that of the parent if the parent was larger.
    """
    try:
        lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def peak_memory_mb(name, arguments):
    """Peak resident memory, MB, of a process that takes two steps of one contender and nothing else."""
    options = ["--network", arguments.network, "--batch-size", arguments.batch_size, "--threads", arguments.threads]
    command = [sys.executable, __file__, *map(str, options), "--memory-of", name]
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER_VARIABLES}
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="lenet", help="default: %(default)s")
    parser.add_argument("--batch-size", type=whole_number(1), default=256, help="default: %(default)s")
    parser.add_argument("--rounds", type=whole_number(2), default=20, help="default: %(default)s")
    parser.add_argument("--threads", type=whole_number(1), default=threads.usable_cores(), help="default: %(default)s")
    parser.add_argument("--out", type=pathlib.Path, help="also write the figures to this JSON file")
    parser.add_argument("--memory-of", metavar="NAME", help="only take two steps, and print the peak memory in MB")
    return parser.parse_args()


def main():
    """Prints the table; writes it as JSON if asked to."""
    arguments = parse_arguments()
    processes = get_processes()
    module = NETWORKS[arguments.network]
    memory.keep_freed_memory()  # as the experiments do; it makes all contenders faster
    rng = np.random.default_rng(0)
    x = rng.random((arguments.batch_size, *module.INPUT_SHAPE), dtype=np.float32)
    t = rng.integers(0, 10, arguments.batch_size).astype(np.int32)
    makers = contenders(module, x, t, arguments.threads, processes)
    if arguments.memory_of is not None:
        step, context, _ = makers[arguments.memory_of]()
        with context():
            step(), step()
        print(own_peak_memory_mb())
        return
    steps = {name: make() for name, make in makers.items()}
    seconds = time_in_turn(steps, arguments.rounds, processes)
    if processes.is_first:
        measured = {name: peak_memory_mb(name, arguments) for name in steps if not steps[name].by_all}
        memory_mb = {name: value for name, value in measured.items() if not np.isnan(value)}
        report(seconds, memory_mb, module, processes, arguments)
    processes.wait()


def report(seconds, memory_mb, module, processes, arguments):
    """Prints the table, and writes the record."""
    processor = describe(get_device("cpu"))
    print(f"B-{module.NAME}, joint training, batch {arguments.batch_size}, {arguments.threads} threads, {processor}")
    rows = []
    for name, values in seconds.items():
        ms = 1e3 * values / arguments.batch_size
        ratio = gain(values, seconds[ours(processes)], statistic=np.median)
        rows.append(
            {
                "name": name,
                "ms_per_sample": {"median": float(np.median(ms)), "min": ms.min()},
                "time_ratio": {"to": ours(processes), **ratio},
                "peak_memory_mb": memory_mb.get(name),
            }
        )
        interval = f"{ratio['value']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        print(
            f"{name:26} {np.median(ms):7.3f} ms per sample (median; min {ms.min():.3f}); "
            f"times that of {ours(processes)}: {interval}"
            + (f"; peak memory {memory_mb[name]:.0f} MB" if name in memory_mb else "")
        )
    prepare_ms = preparation_ms(module, arguments.batch_size)
    print(f"beside the step: cropping, flipping and normalising a batch, one thread: {prepare_ms:.3f} ms per sample")
    if arguments.out is not None:
        environment = records.environment(processor, arguments.threads)
        settings = {"network": module.NAME, "batch_size": arguments.batch_size, "rounds": arguments.rounds}
        settings["processes"], settings["preparation_ms_per_sample"] = processes.size, prepare_ms
        records.write_json(arguments.out, {**settings, "environment": environment, "contenders": rows})


if __name__ == "__main__":
    main()

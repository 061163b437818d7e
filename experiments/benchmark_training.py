"""What a step of joint training costs: this library against plain Chainer and PyTorch, in turn, in one run.

All train the same network, made from the same network list with the same first weights: forward through all exits,
weighted sum of losses, backward, Adam. Started by mpiexec, training shared out to the workers is one more contender of
each library; the others compute in the first process while the rest wait. Peak memory is that of a process of its own
for each contender.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the clone that this script stands in

import lenet_mnist
import numpy as np
import peers
import resnet_cifar10
import threadpoolctl

from branchynet import BranchyNet, functions, records
from branchynet.bench.timing import Clock, Contender, gain, time_interleaved
from branchynet.datasets import TRANSFORMS, Samples
from branchynet.datasets.specs import SPECS
from branchynet.errors import UserError
from branchynet.experiment import add_quiet, nonempty_path, seed_number, whole_number
from branchynet.machine import memory, terminal, threads
from branchynet.machine.devices import get_device
from branchynet.machine.ending import exit_status_of_workers
from branchynet.machine.workers import LAUNCHER_VARIABLES, Workers
from branchynet.report import formats
from branchynet.training import JointLoss, ShuffledBatches, TrainingSettings
from networks import zoo

SCHEMA = 2
SCRIPT = "benchmark_training.py"
OURS = "branchynet"
# Timed steps of a turn. They depend on each other, so intervals are over rounds.
STEPS = 3
CPU = get_device("cpu")


def chainer_step(net, workers):
    """A training step of a net in Chainer, as a function of a batch (x, t) -> loss; the workers share the batch."""
    workers.send_first_weights(net)
    loss, settings = JointLoss(net), TrainingSettings(epochs=1)
    optimizers = [settings.adam(target) for target in loss.targets().values()]

    def step(batch):
        shard = workers.shard(len(batch[0]))
        net.cleargrads()
        with functions.drawn_for(shard):
            value = loss(*(array[shard.rows] for array in batch), shard.weight)
        value.grad = np.full_like(value.array, shard.weight)
        value.backward()
        for optimizer in optimizers:
            workers.mean_gradients(optimizer.target)
            optimizer.update()
        return float(value.array)

    return step


def torch_step(net, workers):
    """The same training step in PyTorch eager; several workers share the batch by DistributedDataParallel."""
    import torch

    loss_of = peers.torch_joint_loss(net)
    if workers.size > 1:
        store = pathlib.Path(tempfile.gettempdir()).resolve() / f"branchynet-{os.getppid()}"  # mpiexec is their parent
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", store.as_uri(), None, workers.size, workers.rank)
        loss_of = torch.nn.parallel.DistributedDataParallel(loss_of)
    optimizer = torch.optim.Adam(loss_of.parameters(), lr=3e-3)

    def step(batch):
        rows = workers.shard(len(batch[0])).rows
        x, t = (torch.from_numpy(array[rows]) for array in batch)
        optimizer.zero_grad()
        loss = loss_of(x, t.long())
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


@contextlib.contextmanager
def plain_chainer_threads(n_threads):
    """Chainer's own functions, with that many threads in BLAS: plain Chainer uses more than one core only there."""
    with threadpoolctl.threadpool_limits(n_threads), functions.plain_chainer():
        yield


def torch_threads(n_threads):
    """PyTorch with that many threads of its own, until a number is set again."""
    import torch

    torch.set_num_threads(n_threads)
    return contextlib.nullcontext()


def contenders(n_threads, workers) -> dict:
    """{name: function that makes a `Contender` of an initialised `BranchyNet`} for everything that is installed."""
    alone = Workers()
    made = {
        OURS: lambda net: Contender(chainer_step(net, alone), lambda: threads.limited(n_threads)),
        "plain Chainer": lambda net: Contender(chainer_step(net, alone), lambda: plain_chainer_threads(n_threads)),
    }
    if workers.size > 1:
        each = max(1, n_threads // workers.on_this_machine)
        made[f"{OURS}, {workers.size} workers"] = lambda net: Contender(
            chainer_step(net, workers), lambda: threads.limited(each), by_all=True
        )
    for n in sorted({1, n_threads}) if peers.has_torch() else ():
        made[f"PyTorch eager, {n} thread{'s' if n > 1 else ''}"] = lambda net, n=n: Contender(
            torch_step(net, alone), lambda: torch_threads(n)
        )
    if workers.size > 1 and peers.has_torch():
        made[f"PyTorch DDP, {workers.size} workers"] = lambda net: Contender(
            torch_step(net, workers), lambda: torch_threads(each), by_all=True
        )
    return made


def first_net(network, seed):
    """The net with the weights that it starts from, the same for all contenders."""
    np.random.seed(seed)  # noqa: NPY002  (Chainer draws initial weights from the global generator)
    return BranchyNet(network.build(), SPECS[network.dataset].image_shape)


def random_batch(network, batch_size, seed):
    """x (N, C, H, W) float32 and t (N,) int32 of the kind that a network takes."""
    spec, rng = SPECS[network.dataset], np.random.default_rng(seed)
    x = rng.random((batch_size, *spec.image_shape), dtype=np.float32)
    return x, rng.integers(0, len(spec.class_names), batch_size).astype(np.int32)


def time_steps(made, batch, n_rounds, settle, workers) -> dict:
    """{name: ms of each timed step (STEPS n_rounds,)} of the `Contender`s, in turns after `settle` untimed ones."""
    samples, warm_up, taken = [batch] * (STEPS * n_rounds), STEPS + 1, []

    def counted(contender):
        def step(sample):
            taken.append(None)
            return contender.answer(sample)

        return dataclasses.replace(contender, answer=step)

    n_steps = len(made) * (warm_up + n_rounds * (STEPS + settle))
    with terminal.following("timing", n_steps, lambda: len(taken), "step"):
        counting = {name: counted(contender) for name, contender in made.items()}
        timed = time_interleaved(counting, samples, Clock(CPU), warm_up, block=STEPS, settle=settle, workers=workers)
    return {name: step_ms for name, (step_ms, _) in timed.items()}


def rows_of(step_ms, batch_size, memory_mb, to) -> list:
    """A row for each contender: ms a sample, time relative to the contender `to`, and peak memory in MB or None."""
    return [
        {
            "name": name,
            "ms_per_sample": {"median": float(np.median(ms)) / batch_size, "min": float(ms.min()) / batch_size},
            "time_ratio": {"to": to, **gain(ms, step_ms[to], block=STEPS, statistic=np.median)},
            "peak_memory_mb": memory_mb.get(name),
        }
        for name, ms in step_ms.items()
    ]


def preparation_ms(network, batch_size, n_batches=20) -> float:
    """Milliseconds per sample, median, that augmenting and normalising a batch take; part of no step above."""
    augment = {"mnist": lenet_mnist, "cifar10": resnet_cifar10}[network.dataset].EXPERIMENT.augment
    shape = (10 * batch_size, *SPECS[network.dataset].image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    samples, normalise = Samples(images, np.zeros(len(images), np.int32)), TRANSFORMS["normalise"].fit(images)
    batches = ShuffledBatches(samples, batch_size, normalise, augment=augment)
    prepare = {"prepare": Contender(lambda _: next(batches), lambda: threads.limited(1))}
    batch_ms, _ = time_interleaved(prepare, range(n_batches), Clock(CPU), warm_up=0, settle=0)["prepare"]
    return float(np.median(batch_ms)) / batch_size


def own_peak_memory_mb():
    """Peak resident memory of this process, MB; NaN where the system is not Linux.

    Not `resource.getrusage`: its figure outlives exec, and is that of the parent if the parent was larger.
    """
    try:
        lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def peak_memory_mb(names, words) -> dict:
    """{name: peak resident memory, MB, of a process that takes two steps of this contender and does nothing else}.

    Args:
        words: the options of this script that say what is trained.
    """
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER_VARIABLES}
    found = {}
    for name in terminal.counted("peak memory", names, "contender"):
        command = [sys.executable, __file__, *words, "--memory-of", name]
        found[name] = float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)
    return {name: megabytes for name, megabytes in found.items() if not np.isnan(megabytes)}


def table(record) -> str:
    """The figures of a record as Markdown, a line for each contender."""
    environment, lines = record["environment"], []
    for row in record["contenders"]:
        ms, peak = row["ms_per_sample"], row["peak_memory_mb"]
        relative = formats.gain(row["time_ratio"]).replace("x", "")
        lines.append([row["name"], f"{ms['median']:.3f}", f"{ms['min']:.3f}", relative, f"{peak:.0f}" if peak else ""])
    to, prepare_ms = record["contenders"][0]["time_ratio"]["to"], record["preparation_ms_per_sample"]
    headings = ("Contender", "ms per sample (median)", "min", f"Time, that of {to} is 1", "Peak memory (MB)")
    title = f"{record['network']}, joint training, batch {record['batch_size']}, {environment['threads']} threads"
    beside = f"Beside the step, preparing a batch on one thread: {prepare_ms:.3f} ms per sample."
    return "\n\n".join([f"{title}, {environment['device']}", formats.markdown_table(headings, lines), beside])


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--network", choices=list(zoo.NETWORKS), default="lenet", help="default: %(default)s")
    default = "default: %(default)s"
    numbers = {
        "batch-size": (1, 1 << 14, 256, default),
        "rounds": (2, 10_000, 20, default),
        "threads": (1, 1 << 10, threads.usable_cores(), default),
        "settle": (1, 10_000, 1, f"untimed steps at the beginning of each turn; {default}"),
    }
    for name, (lowest, highest, usual, words) in numbers.items():
        parser.add_argument(f"--{name}", type=whole_number(lowest, highest), default=usual, metavar="N", help=words)
    parser.add_argument("--seed", type=seed_number, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--out", type=nonempty_path, metavar="FILE", help="also write the figures to this JSON file")
    parser.add_argument("--memory-of", metavar="NAME", help="only take two steps, and print the peak memory in MB")
    add_quiet(parser)
    return parser.parse_args(argv)


def _record(options, workers, load_average, step_ms, alone):
    names = ("network", "batch_size", "threads", "seed")
    words = [text for name in names for text in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    turns = ["--rounds", str(options.rounds), "--settle", str(options.settle)]
    launcher = ["mpiexec", "-n", str(workers.size), "python"] if workers.size > 1 else []
    environment = records.environment(CPU, options.threads)
    environment["versions"].update(peers.versions())
    memory_mb = peak_memory_mb(alone, words)
    return {
        "schema": SCHEMA,
        "command": shlex.join([*launcher, f"experiments/{SCRIPT}", *words, *turns]),
        **{name: getattr(options, name) for name in ("seed", "network", "batch_size", "rounds")},
        "workers": workers.size,
        "load_average_before": load_average,
        "preparation_ms_per_sample": preparation_ms(zoo.get(options.network), options.batch_size),
        "environment": environment,
        "contenders": rows_of(step_ms, options.batch_size, memory_mb, OURS),
    }


def _run(options, workers):
    network, load_average = zoo.get(options.network), getattr(os, "getloadavg", lambda: None)()
    makers = contenders(options.threads, workers)
    if options.memory_of not in (None, *makers):
        raise UserError(f"--memory-of: expected one of {', '.join(makers)}; got {options.memory_of!r}")
    if options.out is not None:
        records.prepare_output(options.out.parent)
    memory.keep_freed_memory()  # as the experiments do; it makes all contenders faster
    batch = random_batch(network, options.batch_size, options.seed)
    if options.memory_of is not None:
        contender = makers[options.memory_of](first_net(network, options.seed))
        with contender.context():
            contender.answer(batch), contender.answer(batch)
        print(own_peak_memory_mb())
        return
    made = {name: make(first_net(network, options.seed)) for name, make in makers.items()}
    step_ms = time_steps(made, batch, options.rounds, options.settle, workers)
    if workers.is_first:
        alone = [name for name, contender in made.items() if not contender.by_all]
        record = _record(options, workers, load_average, step_ms, alone)
        print(table(record))
        if options.out is not None:
            records.write_json(options.out, record)
    workers.wait()


def main(argv=None):
    """Runs the benchmark; returns the exit status."""
    options = parse_arguments(argv)
    stopped = "stopped; nothing was written, the same command begins anew"
    return exit_status_of_workers(SCRIPT, lambda workers: _run(options, workers), stopped, options.quiet)


if __name__ == "__main__":
    sys.exit(main())

"""Timing in several processes, started one after another: how far two processes differ no single one can tell.

Code, weights and buffers lie elsewhere in each process, and with them what the caches hold. A process is the script of
the experiment with a hidden option that names a folder: net, settings and samples lie there, and its latencies in the
end.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from branchynet import serialization
from branchynet.bench import paths
from branchynet.errors import DeviceError
from branchynet.experiment.command_line import TIMING_JOB
from branchynet.machine import terminal, threads
from branchynet.machine.devices import get_device
from branchynet.machine.workers import LAUNCHER_VARIABLES
from branchynet.net import BranchyNet

# Latency is timed on one thread: at batch 1 more threads only add noise, and the paper's clock is one core's.
TIMING_THREADS = 1
# About how long a process takes before it times.
_START_S = 4.0
_NET, _JOB, _SAMPLES, _SETTINGS, _TIMED = "net", "job.json", "samples.npy", "settings.npy", "timed.npz"


def timer(request):
    """What times settings of T for a `Request`, as of `branchynet.bench.paths.measure`: in as many processes as it
    asks for, which is this one where that is one."""
    n, time_all, seconds = request.n_processes_timed, paths.time_settings, request.budget_s
    if n > 1:
        time_all, seconds = functools.partial(_time_in_processes, request), n * (_START_S + request.budget_s)

    def timed(*arguments):
        with terminal.elapsing("timing T", seconds):
            return time_all(*arguments)

    return timed


def do_job(request) -> None:
    """Times what the folder `request.timing_job` asks for, and leaves the latencies there."""
    folder, device = request.timing_job, get_device(request.device)
    device.use()
    job = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    samples, settings = np.load(folder / _SAMPLES), np.load(folder / _SETTINGS)
    net = BranchyNet(request.network.build(), samples.shape[1:])
    serialization.load_weights(net, folder / _NET)
    net.to_device(device)
    with threads.limited(TIMING_THREADS):
        contenders = paths.Contenders.of(net, job["engine"])
        timed = paths.time_settings(contenders, samples, list(map(tuple, settings)), job["budget_s"])
    np.savez(folder / _TIMED, **vars(timed))


def _time_in_processes(request, contenders, samples, settings, budget_s):
    """`PathCosts` of the settings on the first of the samples, an equal part timed by each process.

    A process that its budget stops has timed the first samples of its part; the next one goes on from there.
    """
    with tempfile.TemporaryDirectory(prefix="timing-") as name:
        folder, parts, start = pathlib.Path(name), [], 0
        serialization.save_weights(contenders.net, folder / _NET)
        job = {"engine": contenders.compiled.engine, "budget_s": budget_s}
        (folder / _JOB).write_text(json.dumps(job), encoding="utf-8")
        np.save(folder / _SETTINGS, np.array(settings))
        for number in range(request.n_processes_timed):
            n_left = request.n_processes_timed - number
            stop = start + max(1, (len(samples) - start) // n_left)
            np.save(folder / _SAMPLES, samples[start:stop])
            _start_process(request, folder)
            with np.load(folder / _TIMED) as arrays:
                parts.append(paths.PathCosts(**arrays))
            start += len(parts[-1].plain_ms)
    return paths.PathCosts.pooled(parts)


def _start_process(request, folder):
    """One process, from its start to its end; it belongs to no launcher of workers.

    Ctrl-C reaches this process alone, which ends the other one: one that is just importing could say nothing sensible.
    """
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHER_VARIABLES}
    command = [sys.executable, *request.argv, TIMING_JOB, str(folder)]
    status = subprocess.run(command, env=environment, start_new_session=True).returncode
    if status:
        raise DeviceError(f"timing: expected a process that times, got exit status {status}; its error stands above")

"""What the Trainer does beside stepping: validation, progress, and stopping when asked to."""

import contextlib
import signal
import threading

import chainer

from branchynet.machine import terminal
from branchynet.training.weightings import ExitOutput


def validation(loss, samples, transform, device, workers, batch_size=500):
    """A Trainer extension that reports loss and accuracy of every trained exit on samples held back from training.

    Args:
        loss: `PlainLoss` or `JointLoss`.
        samples: `branchynet.datasets.Samples`.
        transform: images uint8 -> float32.
        device: chainer device of the network.
        workers: `branchynet.machine.workers.Workers`, which share the samples.
        batch_size: samples at a time.
    """

    def mean_statistics():
        for part in loss.targets().values():  # the statistics of a frozen trunk are the same in all workers
            workers.mean_statistics(part)

    def validate(trainer):
        mean_statistics()
        with trainer.updater.evaluated():
            mean_statistics()
            evaluate()

    def evaluate():
        summary = chainer.reporter.DictSummary()
        shard = workers.shard(len(samples))
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            for start in range(shard.start, shard.stop, batch_size):
                rows = slice(start, min(start + batch_size, shard.stop))
                x = device.send(transform(samples.images[rows]))
                t = device.send(samples.labels[rows])
                for number, logits in loss.logits(x).items():
                    reports = ExitOutput(number, logits, t).reports("validation/")
                    summary.add({name: (float(value), n) for name, (value, n) in reports.items()})
        n_samples = (shard.stop - shard.start) if shard.weight else 0
        means = workers.mean({name: (mean, n_samples) for name, mean in summary.compute_mean().items()})
        chainer.report({name: mean for name, (mean, _) in means.items()})

    return validate


class Progress(chainer.training.Extension):
    """Progress on stderr: a bar with the time that is left, where that is a terminal, and one line for each epoch.

    Args:
        phase: name in front of the bar.
        log_report: the Trainer's LogReport, whose last entry is the line of an epoch.
        n_epochs, n_iterations: of the whole phase.
        show: False for silence.
    """

    trigger = 1, "iteration"
    priority = chainer.training.PRIORITY_READER - 50

    def __init__(self, phase, log_report, n_epochs, n_iterations, show=True):
        self.phase, self.log_report = phase, log_report
        self.n_epochs, self.n_iterations = n_epochs, n_iterations
        self.show = show
        self.bar = None

    def initialize(self, trainer):
        """Draws the bar, at the step where the run stands."""
        with terminal.silenced(not self.show):
            self.bar = terminal.bar(self.phase, self.n_iterations, "step", initial=trainer.updater.iteration)

    def __call__(self, trainer):
        """Moves the bar by one step; writes a line at the end of an epoch."""
        self.bar.update(1)
        if self.show and trainer.updater.is_new_epoch:
            terminal.say(self._line(self.log_report.log[-1]))

    def finalize(self):
        """Removes the bar."""
        if self.bar is not None:
            self.bar.close()

    def _line(self, entry):
        words = [f"{self.phase} epoch {entry['epoch']}/{self.n_epochs}, {entry['elapsed_time']:.0f} s:"]
        names = [key.split("/")[1] for key in entry if key.startswith("validation/") and key.endswith("/accuracy")]
        for name in sorted(names, key=lambda name: int(name[len("exit") :])):
            accuracy_pct = 100 * entry[f"validation/{name}/accuracy"]
            loss = entry[f"{name}/loss"]
            words.append(f" exit {name[len('exit') :]}: loss {loss:.4f}, validation accuracy {accuracy_pct:.2f} %")
        return "".join(words)


class StopRequest:
    """Ctrl-C (SIGINT) or SIGTERM asks the run to stop after the step in hand; a second one stops it at once.

    Between two steps all weights and optimizers fit each other, so that the snapshot taken then is as good as any.
    Python gives signals to the main thread only: in another one nothing is listened to.
    """

    def __init__(self):
        self.requested = False

    @contextlib.contextmanager
    def listening(self):
        """Handles the two signals while the block runs; yields itself."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _handle(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

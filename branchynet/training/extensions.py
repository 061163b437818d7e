"""What the Trainer does beside stepping: validation, progress, and stopping when asked to."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading

import chainer
import chainer.functions as F
import tqdm


def validation(loss, images, labels, prepare, device, processes, batch_size=500):
    """A Trainer extension that reports loss and accuracy of every trained exit on samples held back from training.

    Args:
        loss: `MainLoss` or `JointLoss`.
        images, labels: (N, C, H, W) uint8 and (N,) int32.
        prepare: images uint8 -> float32.
        device: chainer device of the network.
        processes: they share the samples out.
        batch_size: samples at a time.
    """

    def validate(trainer):
        for part in loss.targets().values():  # of what stands still they are equal already
            processes.mean_statistics(part)
        summary = chainer.reporter.DictSummary()
        share = processes.share(len(images))
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            for start in range(share.start, share.stop, batch_size):
                rows = slice(start, min(start + batch_size, share.stop))
                x = device.send(prepare(images[rows]))
                t = device.send(labels[rows])
                for number, logits in loss.logits(x).items():
                    summary.add(_loss_and_accuracy(f"validation/exit{number}", logits, t))
        n_samples = (share.stop - share.start) if share.weight else 0
        means = processes.mean({name: (mean, n_samples) for name, mean in summary.compute_mean().items()})
        chainer.report({name: mean for name, (mean, _) in means.items()})

    return validate


def _loss_and_accuracy(prefix, logits, t):
    loss = F.softmax_cross_entropy(logits, t)
    accuracy = (logits.array.argmax(axis=1) == t).mean()
    return {f"{prefix}/loss": (float(loss.array), len(t)), f"{prefix}/accuracy": (float(accuracy), len(t))}


class Progress(chainer.training.Extension):
    """A progress bar with the time that is left, on a terminal, and one line per epoch, everywhere; on stderr.

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
        """Draws the bar, where the run stands."""
        self.bar = tqdm.tqdm(
            total=self.n_iterations,
            initial=trainer.updater.iteration,
            desc=self.phase,
            unit="step",
            disable=None if self.show else True,
            file=sys.stderr,
            leave=False,
        )

    def __call__(self, trainer):
        """Moves the bar by one step; writes a line at the end of an epoch."""
        self.bar.update(1)
        if self.show and trainer.updater.is_new_epoch:
            self.bar.write(self._line(self.log_report.log[-1]), file=sys.stderr)

    def finalize(self):
        """Removes the bar."""
        if self.bar is not None:
            self.bar.close()

    def _line(self, entry):
        words = [f"{self.phase} epoch {entry['epoch']}/{self.n_epochs}, {entry['elapsed_time']:.0f} s:"]
        for name in sorted(key for key in entry if key.startswith("validation/") and key.endswith("/accuracy")):
            exit_name = name.split("/")[1]
            words.append(
                f" {exit_name[:4]} {exit_name[4:]}: loss {entry[f'{exit_name}/loss']:.4f},"
                f" validation accuracy {100 * entry[name]:.2f} %"
            )
        return "".join(words)


class StopRequest:
    """Ctrl-C (SIGINT) or SIGTERM asks the run to stop after the step in hand; a second one stops it at once.

    Stopping between two steps leaves every weight and every optimizer in step with each other, so that the snapshot
    taken then is as good as any. Outside the main thread, where Python takes no signals, nothing is asked.
    """

    def __init__(self):
        self.requested = False

    @contextlib.contextmanager
    def listening(self):
        """Takes the two signals while the block runs."""
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

"""What a training shows while it runs."""

from types import SimpleNamespace

import branchynet  # noqa: F401  (first: it makes Chainer importable)
from branchynet.training.extensions import Progress


def test_the_line_of_an_epoch_tells_the_exits_in_their_order(capsys):
    entry = {"epoch": 1, "elapsed_time": 2.4}
    for number in (10, 2, 1):
        entry |= {f"exit{number}/loss": number / 10, f"validation/exit{number}/accuracy": number / 100}
    progress = Progress("joint", SimpleNamespace(log=[entry]), n_epochs=3, n_iterations=9)
    trainer = SimpleNamespace(updater=SimpleNamespace(iteration=0, is_new_epoch=True))
    progress.initialize(trainer)
    progress(trainer)
    exits = [(1, "0.1000", "1.00"), (2, "0.2000", "2.00"), (10, "1.0000", "10.00")]
    told = " ".join(f"exit {n}: loss {loss}, validation accuracy {percent} %" for n, loss, percent in exits)
    assert f"joint epoch 1/3, 2 s: {told}" in capsys.readouterr().err

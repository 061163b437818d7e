"""Damaged bytes: flipped, cut, doubled, changed, at random places of the files that trainings leave."""

import numpy as np
from synthetic_records import make_records
from tiny import tiny_net
from training.runs import plain

from branchynet import load_weights, save_weights
from branchynet.confidence.direct import Energy
from branchynet.datasets.transforms import Normalise
from branchynet.errors import UserError
from branchynet.machine.reading import BadFile, read_npz
from branchynet.serialization import load_exit_records, load_measure, save_exit_records, save_measure
from branchynet.serialization.arrays import arrays_of
from branchynet.training.run import snapshot_path

PROVENANCE = {"command": "train", "seed": 0, "history": [{"epoch": 1, "loss": 0.5}]}


def save(stem, seed):
    """Saves the tiny net of a seed, which is in its provenance too."""
    save_weights(tiny_net(seed), stem, {**PROVENANCE, "seed": seed}, Normalise((0.5,), (0.25,)), ["a", "b", "c"])


def _read_weights(stem):
    net = tiny_net(seed=1)
    return load_weights(net, stem), _bytes_of(arrays_of(net))


def _save_records(stem):
    save_exit_records({"entropy": make_records(np.random.default_rng(0), n_samples=20)}, stem, PROVENANCE)


def _read_records(stem):
    return [(name, _bytes_of(vars(records))) for name, records in load_exit_records(stem).items()]


def _read_measure(stem):
    measure = load_measure(stem)
    return measure.describe(), _bytes_of(measure.arrays())


def _save_snapshot(stem):
    plain(tiny_net(), stem.parent)
    snapshot_path(stem.parent, "plain").rename(stem.with_suffix(".npz"))


def _read_snapshot(stem):
    return _bytes_of(read_npz(stem.with_suffix(".npz")))


def _bytes_of(arrays):
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


# {kind of file: (what saves it, and what reads all that it says, by the path without an ending)}
_KINDS = {
    "weights": (lambda stem: save(stem, seed=0), _read_weights),
    "exit records": (_save_records, _read_records),
    "measure": (lambda stem: save_measure(Energy(tau=2.5), stem, PROVENANCE), _read_measure),
    "snapshot": (_save_snapshot, _read_snapshot),
}
# (kind, ending) of every file; a snapshot is one, the others are pairs.
DAMAGED = [(kind, ending) for kind in _KINDS for ending in (".npz", ".json") if (kind, ending) != ("snapshot", ".json")]


def n_noticed(folder, kind, ending, n, seed):
    """Damages a file of `DAMAGED` n times; how often a reader noticed.

    Raises:
        AssertionError: something was read that differs from what was saved, without an error.
    """
    (save_it, read), stem = _KINDS[kind], folder / "w"
    save_it(stem)
    path, expected = stem.with_suffix(ending), read(stem)
    whole, rng, noticed = path.read_bytes(), np.random.default_rng(seed), 0
    for _ in range(n):
        path.write_bytes(mutated(whole, rng))
        try:
            found = read(stem)
        except (UserError, BadFile):
            noticed += 1
            continue
        assert found == expected, "what came through says the same"
    return noticed


def mutated(content, rng):
    """The content, damaged somewhere."""
    content, at, length = bytearray(content), int(rng.integers(len(content))), int(rng.integers(1, 9))
    kind = rng.integers(5)
    if kind == 0:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del content[at : at + length]
    elif kind == 2:
        content[at:at] = content[at : at + length]
    elif kind == 3:
        content[at] = (content[at] + int(rng.integers(1, 256))) % 256
    else:
        del content[at:]
    return bytes(content)

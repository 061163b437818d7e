"""Damaged bytes: flipped, cut, doubled, changed, at random places of a file of weights."""

import numpy as np
from tiny import SHAPE, tiny_net

from branchynet import load_weights, save_weights
from branchynet.datasets.transforms import Normalise
from branchynet.errors import UserError
from branchynet.serialization import read_description

ENDINGS = (".npz", ".json")
PROVENANCE = {"command": "train", "seed": 0, "history": [{"epoch": 1, "loss": 0.5}]}


def initialised(seed):
    """The tiny net, with weights that the seed draws."""
    net = tiny_net(seed)
    net.initialise(SHAPE)
    return net


def save(stem, seed):
    """Saves the tiny net of a seed, which is in its provenance too."""
    save_weights(initialised(seed), stem, {**PROVENANCE, "seed": seed}, Normalise((0.5,), (0.25,)), ["a", "b", "c"])


def n_noticed(folder, ending, n, seed):
    """Damages one of a pair of files n times; how often a reader noticed.

    Raises:
        AssertionError: something was read that differs from what was saved, without an error.
    """
    save(folder / "w", seed=0)
    path, expected = (folder / "w").with_suffix(ending), read_description(folder / "w")
    whole, rng, noticed, net = path.read_bytes(), np.random.default_rng(seed), 0, initialised(0)
    for _ in range(n):
        path.write_bytes(mutated(whole, rng))
        try:
            found = load_weights(net, folder / "w")
        except UserError:
            noticed += 1
            continue
        assert found == expected, "what came through says the same"
        assert ending == ".json", "every byte of the arrays' file counts"
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

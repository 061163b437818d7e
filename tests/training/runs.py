"""Short trainings of the tiny network, and what their tests compare."""

import numpy as np
from tiny import as_float, state_of, tiny_net, tiny_splits

from branchynet.machine.devices import to_host
from branchynet.training import TrainingSettings, train_joint, train_plain

SETTINGS = TrainingSettings(epochs=2, batch_size=8, alpha=1e-2, seed=3)


class Killed(Exception):
    """Stands for a process that ends in the middle of a run."""


def acting_at(n_calls, act):
    """A transform that calls `act` at its n-th call; its list `calls` has an entry for each."""

    def transform(images):
        transform.calls.append(len(images))
        if len(transform.calls) == n_calls:
            act()
        return as_float(images)

    transform.calls = []
    return transform


def kill():
    """Ends a run as a kill does."""
    raise Killed


def plain(net, out, settings=SETTINGS, splits=None, transform=as_float, **options):
    """The history of step 1 on the tiny data, in silence."""
    return train_plain(net, splits or tiny_splits(), transform, settings, out, show_progress=False, **options)


def joint(net, out, settings=SETTINGS, splits=None, transform=as_float, **options):
    """The history of step 2 on the tiny data, in silence."""
    return train_joint(net, splits or tiny_splits(), transform, settings, out, show_progress=False, **options)


def both(net, out, **options):
    """The history of both steps."""
    return plain(net, out, **options) + joint(net, out, **options)


def trained(steps, out, **options):
    """The tiny net after some steps (`plain`, `joint` or `both`), and the history."""
    net = tiny_net()
    return net, steps(net, out, **options)


def naive_softmax(z):
    """Along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropies(z, t):
    """Of each sample: logits (N, n_classes) on any device, labels (N,)."""
    return np.array([-np.log(p[label]) for p, label in zip(naive_softmax(to_host(z).astype(float)), t)])


def gradients(net):
    """{name: gradient, or None} of all parameters, on the host."""
    return {name: None if p.grad is None else to_host(p.grad).copy() for name, p in net.namedparams()}


def assert_same_arrays(ours, theirs, **tolerance):
    """Compares two dictionaries of arrays: to the bit, unless tolerances are given."""
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        if tolerance:
            np.testing.assert_allclose(array, theirs[name], err_msg=name, **tolerance)
        else:
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def assert_same_run(ours, theirs):
    """Compares two (net, history) to the bit, but for the times."""
    assert_same_arrays(state_of(ours[0]), state_of(theirs[0]))
    histories = [[{**entry, "elapsed_s": None, "piece": None} for entry in history] for _, history in (ours, theirs)]
    assert histories[0] == histories[1]

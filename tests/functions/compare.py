"""What the tests of the functions compare: outputs and gradients."""

import chainer
import numpy as np

from branchynet.machine.devices import to_host


def outputs_and_gradients(function, device, *arrays):
    """[y, the gradient of each array] on the host, for a function of Variables and a random gradient of y."""
    variables = [chainer.Variable(device.send(array)) for array in arrays]
    y = function(*variables)
    y.grad = device.send(np.random.default_rng(1).normal(size=y.shape).astype(arrays[0].dtype))
    y.backward()
    return [to_host(y.array), *(to_host(variable.grad) for variable in variables)]


def assert_same_results(ours, theirs, device, *arrays, of_largest=0, **tolerance):
    """Compares outputs and gradients of two functions, and their types; of_largest: a difference that is allowed, as a
    share of the largest number of an array."""
    results = (outputs_and_gradients(function, device, *arrays) for function in (ours, theirs))
    for own, their in zip(*results):
        assert own.dtype == their.dtype
        allowed = {"rtol": 0, "atol": of_largest * np.abs(their).max()} if of_largest else tolerance
        np.testing.assert_allclose(own, their, **allowed)

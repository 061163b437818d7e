"""One registry mechanism, and one policy for everything that a user may add to."""

import math

import chainer
import pytest

from branchynet.confidence import MEASURES, register_measure
from branchynet.errors import CompileError, MeasureError, ThresholdError, TrainingError
from branchynet.inference import register_lowering
from branchynet.inference.lowering import LOWERINGS
from branchynet.registry import Registry
from branchynet.thresholds import register_goal
from branchynet.thresholds.goals import GOALS
from branchynet.training.weightings import WEIGHTINGS, register_weighting


class OwnLink(chainer.Link):
    """A kind of layer that nothing is registered for."""


def goal_decorator(form, replace=False):
    return register_goal(form, example=form, replace=replace)


# The registry, how a function is added to it, a key that is free, and the error of one that is not.
REGISTRIES = {
    "measures": (MEASURES, register_measure, "own", MeasureError),
    "goals": (GOALS, goal_decorator, "own<={share}", ThresholdError),
    "weightings": (WEIGHTINGS, register_weighting, "own", TrainingError),
    "lowerings": (LOWERINGS, register_lowering, OwnLink, CompileError),
}


@pytest.fixture(params=REGISTRIES)
def register(request):
    """Each registry in turn."""
    return REGISTRIES[request.param]


def test_a_key_that_is_taken_is_refused_in_every_registry_unless_it_is_to_be_replaced(register):
    registry, decorator, key, error = register
    names, functions = registry.names(), [lambda *args: None for _ in range(3)]
    assert key not in registry
    assert decorator(key)(functions[0]) is functions[0]
    assert registry.names() == (*names, key)
    first = registry.get(key)
    with pytest.raises(error, match=r"expected a name of its own, got .*[oO]wn.*, which is taken \(replace=True\)"):
        decorator(key)(functions[1])
    assert registry.get(key) is first
    decorator(key, replace=True)(functions[2])
    assert registry.get(key) is not first and registry.names() == (*names, key)


def test_what_the_library_brings_is_not_given_away_either(register):
    registry, decorator, _, error = register
    own = registry.names()[0]
    with pytest.raises(error, match="which is taken"):
        decorator(own)(lambda *args: None)
    decorator(own, replace=True)(lambda *args: None)
    assert registry.names()[0] == own


def test_an_entry_that_is_text_is_imported_when_it_is_asked_for():
    registry = Registry("number", ValueError, {"pi": "math:pi", "missing": "no_such_module:x"})
    assert registry.names() == ("pi", "missing") and "missing" in registry
    assert registry.get("pi") is math.pi and registry.get("pi") is math.pi
    with pytest.raises(ModuleNotFoundError):
        registry.get("missing")


@pytest.mark.parametrize("key", ["e", None, 3, [], {}])
def test_a_key_that_is_not_there_is_answered_with_those_that_are(key):
    registry = Registry("number", KeyError, {"pi": math.pi, "tau": math.tau})
    assert key not in registry
    with pytest.raises(KeyError, match="number: expected one of pi, tau; got "):
        registry.get(key)

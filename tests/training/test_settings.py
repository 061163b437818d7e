"""Settings: what is refused, the schedules, weight decay, the paper's constants."""

import dataclasses
import json
import math

import numpy as np
import pytest
from tiny import state_of, tiny_net

from branchynet.errors import TrainingError
from branchynet.training import TrainingSettings

from .runs import SETTINGS, assert_same_arrays


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("epochs", (0, -1, 1.5, True, "2", None)),
        ("batch_size", (0, 8.0, None)),
        ("seed", (-1, 2**32, 0.5, None)),
        ("alpha", (0.0, -1e-3, math.inf, math.nan, "0.1", None)),
        ("beta1", (1.0, -0.1, math.nan)),
        ("beta2", (1.0, -0.1, "0.9")),
        ("schedule", ("step", None)),
        ("weight_decay", (-0.1, math.inf, math.nan, 100.0, True)),
        ("keep", (0, -0.1, 1.5, math.nan, "half", (0.5, 0), (0.5, (0.5,)))),
        ("weighting", ("none", 3, [])),
        ("loss_weights", (1.0, (), (0, 0, 0), (1, -1, 1), (1, math.inf, 1), (1, math.nan, 1), ("1", 1, 1))),
        ("freeze_trunk", (1, None, "yes")),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, values):
    for value in values:
        with pytest.raises(TrainingError, match=f"{name}: expected .*[,;] got "):
            dataclasses.replace(SETTINGS, **{name: value})
    assert issubclass(TrainingError, ValueError)


def test_numbers_of_any_kind_become_pythons_own():
    settings = TrainingSettings(np.int64(3), alpha=1, keep=[np.float32(0.5), 1], loss_weights=[1, 0])
    assert settings == TrainingSettings(3, alpha=1.0, keep=(0.5, 1.0), loss_weights=(1.0, 0.0))
    assert json.loads(json.dumps(dataclasses.asdict(settings)))["keep"] == [0.5, 1.0]


def test_the_schedules():
    constant = TrainingSettings(epochs=1, schedule="constant", alpha=0.1)
    assert {constant.alpha_at(i, 100) for i in range(100)} == {0.1}
    alphas = [TrainingSettings(epochs=1, alpha=0.1).alpha_at(i, 101) for i in range(101)]
    assert alphas[0] == pytest.approx(0.01) and max(alphas) == alphas[25] == pytest.approx(0.1)
    assert alphas[:26] == sorted(alphas[:26]) and alphas[25:] == sorted(alphas[25:], reverse=True)
    assert alphas[-1] == pytest.approx(0.0002)


def test_weight_decay_takes_a_share_off_the_weights_alone_and_follows_alpha(device):
    nets = [tiny_net(device=device), tiny_net(device=device)]
    for net, weight_decay in zip(nets, (0.0, 0.5)):
        settings = TrainingSettings(epochs=1, alpha=0.1, weight_decay=weight_decay)
        adam = settings.adam(net)
        settings.set_alpha(adam, 0.02)
        for param in net.params():
            param.grad = param.array * 0 + 1
        adam.update()
    plain, decayed = map(state_of, nets)
    taken = {name: 0.02 * 0.5 * first * (first.ndim > 1) for name, first in state_of(tiny_net()).items()}
    assert_same_arrays(decayed, {name: plain[name] - taken[name] for name in plain}, rtol=1e-5, atol=1e-6)


def test_the_papers_constants():
    adam = TrainingSettings.paper(epochs=50).adam(tiny_net())
    assert (adam.alpha, adam.beta1, adam.beta2) == (0.001, 0.99, 0.999)
    assert TrainingSettings.paper(epochs=50).batch_size == 512

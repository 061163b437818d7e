"""Settings of T beside the chosen one, and the paired comparison with the plain network."""

import numpy as np
import pytest

from branchynet.experiment import operating
from branchynet.thresholds import ExitCosts, ExitRecords


def right(text):
    """Which samples are right: "1" for right, "0" for wrong."""
    return np.array([letter == "1" for letter in text])


def test_the_difference_is_that_of_the_samples_that_only_one_has_right():
    found = operating.against_plain(right("1110" * 25), right("1011" * 25))
    assert found["difference_pct"] == 0 and found["low"] == -found["high"] and found["p"] == 1


def test_the_test_is_mcnemars_exact_one():
    # 9 samples gained, 1 lost: twice the binomial tail P(X >= 9) of 10 fair coins, 11 / 1024.
    found = operating.against_plain(right("1" * 9 + "0" + "1" * 90), right("0" * 9 + "1" + "1" * 90))
    assert found["difference_pct"] == pytest.approx(8) and found["p"] == pytest.approx(22 / 1024)
    half_width = 1.96 * np.sqrt(0.1 - 0.08**2) / 10  # of the mean of 100 differences: nine 1, one -1, the others 0
    np.testing.assert_allclose([found["low"], found["high"]], [8 - 100 * half_width, 8 + 100 * half_width])


def test_two_networks_that_answer_alike_do_not_differ():
    found = operating.against_plain(right("1110"), right("1110"))
    assert found == {"difference_pct": 0, "low": 0, "high": 0, "p": 1}


def test_the_interval_covers_the_true_difference_as_often_as_it_says(rng):
    covered = 0
    for _ in range(400):
        kind = rng.choice(3, size=500, p=[0.8, 0.12, 0.08])  # both alike; only ours right; only the plain net's
        found = operating.against_plain(kind != 2, kind != 1)
        covered += found["low"] <= 4 <= found["high"]
    assert 0.92 < covered / 400 < 0.98


COSTS = ExitCosts(np.array([1.0, 2.0]), "ms")
# Of four samples the first exit has the two surest right, the last one all but the fourth.
SCORES = np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0]], np.float32)
RECORDS = ExitRecords(SCORES, np.array([[0, 0, 1, 1], [0, 0, 0, 1]]), np.zeros(4, np.int32))


def test_equal_accuracy_is_the_fastest_t_as_accurate_as_the_plain_net_on_validation_samples():
    asked = operating.settings_asked_for(RECORDS, right("1110"), COSTS, None)
    assert list(asked) == ["equal accuracy"] and 0.2 < asked["equal accuracy"][0] <= 0.3
    assert operating.settings_asked_for(RECORDS, right("1111"), COSTS, None) == {"equal accuracy": None}


def test_the_papers_t_is_taken_as_it_is_and_its_shares_are_those_of_validation_samples():
    paper = {"thresholds": (0.025,), "exit_pct": (75, 25)}
    asked = operating.settings_asked_for(RECORDS, right("1110"), COSTS, paper)
    assert asked["paper's T"] == (0.025,) and 0.3 < asked["paper's exit shares"][0] <= 0.4


def test_the_papers_shares_are_met_to_the_sample():
    scores = np.array([np.arange(200), np.zeros(200)], np.float32)
    found = ExitRecords(scores, np.zeros((2, 200), int), np.zeros(200, np.int32))
    paper = {"thresholds": (1.0,), "exit_pct": (75, 25)}
    asked = operating.settings_asked_for(found, right("1" * 200), COSTS, paper)
    assert found.evaluate([asked["paper's exit shares"]]).exit_shares[0].tolist() == [0.75, 0.25]

"""Energy of a sample, from a counter that is known exactly."""

import pytest
from fake_clock import FakeClock

from branchynet.bench.energy import energy_of


def answering(clock, ms, watts):
    """A function of a batch that takes so long at so much power, and () -> the energy used."""
    used = [0.0]

    def answer(batch):
        clock.ms += ms
        used[0] += watts * ms / 1e3

    return answer, lambda: used[0]


def test_energy_is_of_all_samples_that_were_answered_in_the_time():
    clock = FakeClock()
    answer, joules = answering(clock, ms=20, watts=50)
    found = energy_of(answer, ["ab", "cd", "ef"], joules, clock, seconds=0.1)
    assert found == {"mj_per_sample": 500.0, "watts": 50.0, "n_samples": 10, "seconds": 0.1}


def test_one_batch_is_answered_in_any_case():
    clock = FakeClock()
    answer, joules = answering(clock, ms=300, watts=50)
    assert energy_of(answer, ["abc"], joules, clock, seconds=0.1)["n_samples"] == 3


def test_less_than_a_joule_is_something_measured():
    clock = FakeClock()
    answer, joules = answering(clock, ms=20, watts=5)
    found = energy_of(answer, ["ab"], joules, clock, seconds=0.1)
    assert (found["mj_per_sample"], found["watts"]) == pytest.approx((50, 5))


def test_a_counter_that_stood_still_is_nothing_measured():
    clock = FakeClock()
    answer, joules = answering(clock, ms=20, watts=0)
    found = energy_of(answer, ["ab"], joules, clock, seconds=0.1)
    assert (found["mj_per_sample"], found["watts"], found["n_samples"]) == (None, None, 10)

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


@pytest.mark.parametrize(
    ("ms", "watts", "expected"),
    [
        (20, 50, {"mj_per_sample": 500, "watts": 50, "n_samples": 10, "seconds": 0.1}),
        (20, 5, {"mj_per_sample": 50, "watts": 5, "n_samples": 10, "seconds": 0.1}),  # half a joule in all
        (300, 50, {"mj_per_sample": 7500, "watts": 50, "n_samples": 2, "seconds": 0.3}),  # one batch in any case
        (20, 0, {"mj_per_sample": None, "watts": None, "n_samples": 10, "seconds": 0.1}),  # the counter stood still
    ],
)
def test_energy_is_of_all_samples_that_were_answered_in_the_time(ms, watts, expected):
    clock = FakeClock()
    answer, joules = answering(clock, ms, watts)
    found = energy_of(answer, ["ab", "cd", "ef"], joules, clock, seconds=0.1)
    assert found == pytest.approx(expected)

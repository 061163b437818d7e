"""Energy of a sample, from a counter that is known exactly."""

import pytest
from fake_clock import FakeClock

from branchynet.bench.energy import energy_of


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
    found = energy_of(clock.spending(ms), ["ab", "cd", "ef"], lambda: watts * clock.ms / 1e3, clock, seconds=0.1)
    assert found == pytest.approx(expected)

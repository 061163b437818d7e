"""Energy of a sample: what the whole card uses while one contender answers over and over, idle power included."""

from __future__ import annotations

import itertools

# A card brings its count up to date every 20 to 100 ms: of less than a second, energy is not known to a tenth.
LEAST_S = 1.0


def energy_of(answer, batches, joules, clock, seconds) -> dict:
    """Answers batches, one after the other and from the first again, for some seconds.

    Args:
        answer: function of a batch.
        batches: list of them.
        joules: () -> energy used since some moment.
        clock: `branchynet.bench.timing.Clock`.
        seconds: how long, at least; one batch is answered in any case. `LEAST_S`, or more, for a real card.

    Returns:
        JSON-able: {mj_per_sample, watts, n_samples, seconds}; the first two are None where no energy was counted: the
        count is brought up to date too seldom for so short a time.
    """
    answer(batches[0])
    n_samples, start_ms, before = 0, clock.now_ms(), joules()
    for batch in itertools.cycle(batches):
        answer(batch)
        n_samples += len(batch)
        spent_s = (clock.now_ms() - start_ms) / 1e3
        if spent_s >= seconds:
            break
    used = joules() - before
    measured = {"mj_per_sample": 1e3 * used / n_samples, "watts": used / spent_s} if used > 0 else {}
    return {"mj_per_sample": None, "watts": None, **measured, "n_samples": n_samples, "seconds": spent_s}

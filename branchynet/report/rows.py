"""The rows that tables and figures draw from: a run by every clock, and what others published of the same network."""

from __future__ import annotations

import dataclasses

from branchynet.records.published import select
from branchynet.report import formats


@dataclasses.dataclass(frozen=True)
class Clock:
    """What a time counts, and the baseline that its gain is taken over."""

    words: str  # clock and baseline
    short: str  # the same where there is little room
    # Keys of a record's `measured`; the last two also of its `points`.
    plain_ms: str
    branchy_ms: str
    gain: str


SAME_ENGINE = Clock("end to end, same engine", "end to end", "plain_ms", "end_to_end_ms", "end_to_end_gain")
OVER_CHAINER = Clock(
    "end to end, over plain Chainer", "over plain Chainer", "plain_chainer_ms", "end_to_end_ms", "gain_over_chainer"
)
PAPERS_CLOCK = Clock("paper's clock", "paper's clock", "plain_chainer_ms", "paper_clock_ms", "paper_clock_gain")
CLOCKS = (SAME_ENGINE, OVER_CHAINER, PAPERS_CLOCK)


@dataclasses.dataclass(frozen=True)
class Row:
    """What one source says of one network."""

    source: str  # "Paper", "Authors' notebook" or "Ours"
    network: str
    accuracy_pct: float  # on the test set
    time_ms: float | None  # mean time of a sample; None where it was not measured
    # How many times faster than `plain`: a number, or {value, low, high}; None where it was not measured.
    gain: float | dict | None = None
    thresholds: tuple = ()  # T in nats of each early exit
    exit_pct: tuple = ()  # the share of the samples leaving at each exit
    clock: Clock | None = None  # by which time and gain are meant
    plain: Row | None = None  # the row of the plain network that the gain is over; None for a plain network
    is_published: bool = False  # the figures are others', and keep the digits that stand there
    machine: str = ""  # that timed it, where that is known

    def cells(self, decimals: int) -> list:
        """Accuracy, time, gain, T and exits as text; shares of our own with that many decimals."""
        time, gain = formats.ms(self.time_ms), formats.gain(self.gain) if self.plain else ""
        exits = formats.exit_shares(self.exit_pct, decimals)
        if self.is_published:
            time, gain = f"{self.time_ms:g}", "" if self.gain is None else f"{self.gain:g}x"
            exits = formats.exit_shares(self.exit_pct)
        return [formats.accuracy(self.accuracy_pct), time, gain, formats.thresholds(self.thresholds), exits]


def our_rows(run: dict, clocks=CLOCKS) -> list:
    """The chosen setting of a run, timed for real: a row for each clock."""
    measured = run["measured"]
    rows = []
    for clock in clocks:
        plain_ms, branchy_ms = (formats.mean_of(measured[key]) for key in (clock.plain_ms, clock.branchy_ms))
        clocked = {"clock": clock, "machine": formats.machine(run)}
        plain = Row("Ours", run["network"], run["baselines"][0]["accuracy_pct"], plain_ms, **clocked)
        figures = branchy_ms, measured[clock.gain] or None, tuple(measured["thresholds"]), tuple(measured["exit_pct"])
        rows.append(Row("Ours", run["branchy_network"], measured["accuracy_pct"], *figures, plain=plain, **clocked))
    return rows


def baseline_rows(run: dict) -> list:
    """The networks without early exits of a run, end to end, as they were timed in turn with the chosen setting."""
    rows = []
    for entry in run["baselines"]:
        clock = OVER_CHAINER if entry["engine"] == "chainer" else SAME_ENGINE
        time_ms = formats.mean_of(run["measured"][clock.plain_ms])
        rows.append(Row("Ours", entry["name"], entry["accuracy_pct"], time_ms))
    return rows


def chosen_on_test(run: dict) -> Row:
    """T chosen on the test split: accuracy and shares as recorded, time as computed for that point of the sweep."""
    outcome = run["choice"]["chosen_on_test"]
    place = ("test", outcome["thresholds"])
    point = next((point for point in run["points"] if (point["split"], point["thresholds"]) == place), {})
    clock = SAME_ENGINE
    return dataclasses.replace(
        our_rows(run, [clock])[0], **outcome, time_ms=point.get(clock.branchy_ms), gain=point.get(clock.gain)
    )


def published_rows(run: dict, published: dict) -> list:
    """The paper's and the authors' rows of the network of a run, those that there are."""
    chosen = select(run, published)
    return [
        *published_pair("Paper", chosen.paper_plain, chosen.paper_branchy),
        *published_pair("Authors' notebook", chosen.authors_plain, chosen.authors_chosen),
    ]


def published_pair(source: str, plain: dict | None, branchy: dict | None) -> list:
    """The rows of a plain network and of the branchy one beside it, as of `branchynet.records.load_published`."""
    rows = []
    for entry in filter(None, (plain, branchy)):
        figures = (entry[key] for key in ("network", "accuracy_pct", "time_ms", "gain", "thresholds", "exit_pct"))
        rows.append(Row(source, *figures, PAPERS_CLOCK, next(iter(rows), None), is_published=True))
    return rows

"""The tables of runs, and the summary for the terminal: every figure from the record, by both clocks."""

import itertools

import pytest
from synthetic_run import PUBLISHED, change, make_run

from branchynet import records, report
from branchynet.report import formats
from branchynet.report.rows import CLOCKS

TABLES = {
    "table": lambda run: report.table(run, PUBLISHED),
    "summary": lambda run: report.summary(run, PUBLISHED, "results"),
    "table one": lambda run: report.table_one([run], PUBLISHED),
    "comparison": lambda run: report.comparison([run], PUBLISHED),
    "front table": lambda run: report.front_table([run], PUBLISHED),
}
ALL = tuple(TABLES)
# Tables, and figures of the record that must be in each of them.
SHOWN = [
    (ALL, ["measured.accuracy_pct", "measured.exit_pct.0", "measured.thresholds.0", "baselines.0.accuracy_pct"]),
    (ALL, ["measured.end_to_end_ms.mean", "measured.end_to_end_gain.value", "measured.paper_clock_gain.value"]),
    (ALL[:4], ["measured.paper_clock_ms.mean", "measured.gain_over_chainer.value", "measured.gain_over_chainer.low"]),
    (ALL, ["measured.plain_ms.mean"]),
    (ALL[:4], ["measured.plain_chainer_ms.mean"]),
    (ALL[:2], ["baselines.2.accuracy_pct", "exits.1.latency_ms.mean"]),
    (
        ALL[:2],
        ["exits.0.accuracy_pct.test", "choice.chosen_on_test.accuracy_pct", "choice.chosen_on_test.thresholds.0"],
    ),
    (ALL[:1], ["exits.0.paper_clock_ms.p99", "points.3.end_to_end_ms", "points.3.end_to_end_gain"]),
]
GOAL = {**make_run()["choice"], "goal": "exits=97.5"}


def changed(run, part, other):
    """The run, again and again, each time with another value in it in place of one of its own, down from a part."""
    pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in list(pairs):
        part[key] = other
        yield run
        part[key] = value
        yield from changed(run, value, other)


def refused(run):
    """Whether it is no record of a run."""
    try:
        records.check_run(run)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("other", [None, "text", 5, [], {}, ["text"], 10**400], ids="{!r:.9}".format)
def test_a_value_of_another_kind_is_refused_or_does_no_harm(other):
    measured, history = make_run()["measured"], make_run()["history"][:1]
    settings = [{"name": "equal accuracy", **measured}, {"name": "fast", "thresholds": None}]
    run = make_run(grid=(0.01,), history=history, operating_points=settings)
    run["environment"].update(gpu={"driver": "1", "cuda": "12"}, processor={}, packages={})
    assert sum(map(refused, changed(run, run, other))) > 50
    for record in itertools.filterfalse(refused, changed(run, run, other)):
        assert all(tell(record) for tell in TABLES.values())


def rows_of(text):
    """The cells of the rows of all tables, their headings among them."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for names, places in SHOWN for name in names for place in places]
)
def test_every_figure_comes_from_the_record(name, place):
    run = make_run()
    assert "77.7" not in TABLES[name](run)
    change(run, place, 77.7)
    assert "77.7" in TABLES[name](run)


@pytest.mark.parametrize("name", TABLES)
def test_every_gain_that_was_not_measured_is_said_to_be_so(name):
    run, words = make_run(), "  -  " if name == "summary" else "not measured"
    assert words not in TABLES[name](run)
    run["measured"].update({clock.gain: None for clock in CLOCKS})
    assert TABLES[name](run).count(words) == (2 if name == "front table" else len(CLOCKS))


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("table", ["B-LeNet, end to end, same engine", "99.00", "1.23", "1.62x (1.50–1.75)", "0.01", "33.33, 66.67"]),
        ("table", ["B-LeNet, end to end, over plain Chainer", "99.00", "1.23", "6.48x (6.00–7.00)"]),
        ("table", ["B-LeNet, paper's clock (e)", "99.00", "0.500", "4.00x (3.50–4.50)"]),
        ("table", ["B-LeNet, end to end, T chosen on test (d)", "99.00", "1.67", "1.20x", "0.01"]),
        ("table", ["LeNet (joint, last exit only)", "98.50", "2.00", "", "", ""]),
        ("table", ["Paper, CPU (b)", "B-LeNet", "99.25", "0.62", "5.4x", "0.025", "94.3, 5.63"]),
        ("table", ["Authors' notebook (c)", "B-LeNet", "99.25", "0.56", "4.96x", "0.025", "93.95, 6.05"]),
        ("comparison", ["Paper, Table I", "paper's clock", "99.20", "99.25", "3.37", "0.62", "5.4x"]),
        ("comparison", ["Ours", "paper's clock", "98.00", "99.00", "8.00", "0.500", "4.00x (3.50–4.50)"]),
        ("comparison", ["Ours", "end to end, over plain Chainer", "98.00", "99.00", "8.00", "1.23"]),
        ("comparison", ["Ours", "end to end, same engine", "98.00", "99.00", "2.00", "1.23", "1.62x (1.50–1.75)"]),
        ("front table", ["LeNet, paper", "99.20", "99.25", "3.37", "0.62", "5.4x", "", "", "94.3, 5.63", "0.025"]),
        ("front table", ["LeNet, ours", "98.00", "99.00", "2.00", "1.23", "4.00x (3.50–4.50)", "1.62x (1.50–1.75)"]),
    ],
)
def test_ours_by_both_clocks_and_over_both_baselines_stand_beside_what_was_published(name, cells):
    rows = rows_of(TABLES[name](make_run()))
    assert [row for row in rows if any(row[i : i + len(cells)] == cells for i in range(len(row)))]


def test_notes_tell_machine_command_clock_and_choice():
    run = make_run()
    found = [run["environment"]["device"], run["command"], run["environment"]["commit"][:12], run["choice"]["rule"]]
    notes = report.table(run, PUBLISHED).rsplit("|\n", 1)[1]
    assert all(words in notes for words in (*found, "1 thread", "optimistic", "only the trunk inside the clock"))


def test_notes_of_a_record_without_a_date_say_so():
    run = make_run()
    del run["environment"]["utc"]
    assert "; no date. " in report.table(run, PUBLISHED)


def test_a_network_of_ones_own_has_tables_without_published_rows():
    run = make_run(network="Mine", branchy_network="B-Mine")
    text = report.table(run, PUBLISHED) + report.table_one([run], PUBLISHED)
    assert "| Paper" not in text and "no row for Mine" in text


@pytest.mark.parametrize("n_early", [1, 2])
def test_the_summary_fits_on_one_screen(n_early, tmp_path):
    lines = report.summary(make_run(n_early), PUBLISHED, tmp_path).splitlines()
    assert len(lines) <= 24 and all(len(line) <= 100 for line in lines[:-1])
    assert any("1.62x (1.50-1.75)" in line for line in lines)


@pytest.mark.parametrize(("load", "is_told"), [(0.9, False), (2.4, False), (5.0, True), (None, False)])
def test_the_summary_tells_that_the_machine_was_busy(load, is_told, tmp_path):
    run = make_run()
    run["environment"].update(load={"before": 9.0, "after": load}, n_cores=2)
    summary = report.summary(run, PUBLISHED, tmp_path)
    assert ("The machine was busy (load 5.0, 2 cores): times" in summary) == is_told
    assert len(summary.splitlines()) <= 24 and max(map(len, summary.splitlines()[:-1])) <= 100


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234"), (None, "not measured")]
)
def test_milliseconds_have_three_significant_digits(value, text):
    assert formats.ms(value) == text


def test_the_gains_of_a_comparison_leave_out_what_was_not_measured():
    run = make_run()
    run["measured"]["end_to_end_gain"] = None
    labels = ["paper", "authors' notebook", "ours, paper's clock", "ours, end to end, over plain Chainer"]
    assert report.gains_of(run, PUBLISHED) == list(zip(labels, (5.4, 4.96, 4.0, 6.48)))


def ours(*runs):
    """Network, accuracy and seeds of our rows of Table I on one engine."""
    rows = rows_of(report.table_one(runs, PUBLISHED))
    return [(row[1], row[2], row[-1]) for row in rows if row[0] == "Ours, end to end, same engine"]


def test_in_table_one_a_network_has_the_published_rows_once_and_ours_by_every_clock():
    rows = rows_of(report.table_one([make_run(1), make_run(2), make_run(1, choice=GOAL)], PUBLISHED))
    clocks = ["Ours, paper's clock", "Ours, end to end, same engine", "Ours, end to end, over plain Chainer"]
    assert [row[0] for row in rows if row[1] == "B-LeNet"] == ["Paper", "Authors' notebook", *clocks]
    assert [row[2] for row in rows if row[:2] == ["Paper", "B-AlexNet"]] == ["79.19"]


def test_seeds_become_one_row_with_mean_and_interval():
    runs = [make_run(seed=seed) for seed in (1, 0, 2)]
    for run, accuracy_pct in zip(runs, (99.4, 99.2, 99.3)):
        run["measured"]["accuracy_pct"] = accuracy_pct
    assert ours(*runs) == [("LeNet", "98.00 ± 0.00", "3"), ("B-LeNet", "99.30 ± 0.25", "3")]
    first = rows_of(report.front_table(runs, PUBLISHED))[3]
    assert first[:3] + first[5:7] == [
        "LeNet, ours (3 seeds)",
        "98.00 ± 0.00",
        "99.30 ± 0.25",
        "4.00x ± 0.00",
        "1.62x ± 0.00",
    ]


def at_equal_accuracy(given):
    """A record's entry of the setting of T for equal accuracy, of a gain, or of a gain, a difference from the plain
    network and its p; None: there is no such T."""
    if given is None:
        return {"name": "equal accuracy", "thresholds": None}
    value, difference, p = given if isinstance(given, tuple) else (given, 0.0, 1.0)
    gain = {"value": value, "low": value - 0.1, "high": value + 0.1}
    against_plain = {"difference_pct": difference, "p": p, "low": difference - 1, "high": difference + 1}
    return {"name": "equal accuracy", "thresholds": [0.1], "end_to_end_gain": gain, "against_plain": against_plain}


@pytest.mark.parametrize(
    ("of_seeds", "words"),
    [
        ([2.5], "2.50x (2.40–2.60)"),
        ([None], "none"),
        ([2.5, None, 2.5], "2.50x ± 0.00 (2 of 3)"),
        ([None, None], "none"),
        ([(2.5, -0.4, 0.04)], "2.50x (2.40–2.60) (1 less accurate on test)"),
        ([(2.5, -0.4, 0.06), (2.5, 0.4, 0.01)], "2.50x ± 0.00"),
        ([(2.5, -0.4, 0.01), None, (2.5, -0.4, 0.01)], "2.50x ± 0.00 (2 of 3, 2 less accurate on test)"),
    ],
)
def test_the_front_has_the_gain_at_equal_accuracy_of_the_seeds_that_have_one(of_seeds, words):
    others = [{"name": "paper's T", "thresholds": [0.5], "end_to_end_gain": {"value": 9, "low": 9, "high": 9}}]
    runs = [make_run(seed=n, operating_points=[*others, at_equal_accuracy(v)]) for n, v in enumerate(of_seeds)]
    assert rows_of(report.front_table(runs, PUBLISHED))[3][7] == words
    assert rows_of(report.front_table([make_run()], PUBLISHED))[3][7] == "", "a record from before there were any"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("variant", "another"),
        ("preset", "another"),
        ("arguments.transform", "normalise"),
        ("training_settings.joint.weighting", "meta"),
    ],
)
def test_runs_that_differ_in_more_than_the_seed_stay_apart(place, value):
    run = make_run(seed=1)
    change(run, place, value)
    names = [name for name, *_ in ours(make_run(), run)]
    assert [name.split(" ")[0] for name in names] == ["LeNet", "B-LeNet"] * 2, "each beside its own plain network"


def test_a_setting_that_older_records_lack_and_that_changes_nothing_keeps_no_seeds_apart():
    run = make_run(seed=1)
    run["training_settings"]["joint"].update(seed=1, average=0.0, unheard_of=None)
    assert ours(make_run(), run)[1][-1] == "2"


@pytest.mark.parametrize(("goal", "words"), [("exits=97.5", "T for exits=97.5"), (None, "T given")])
def test_runs_with_another_goal_follow_the_knee_without_the_plain_network_again(goal, words):
    run = make_run(choice={**GOAL, "goal": goal})
    assert [name for name, *_ in ours(run, make_run())] == ["LeNet", "B-LeNet", f"B-LeNet, {words}"]


def test_another_goal_stands_below_the_plain_network_of_its_own_training():
    runs = [make_run(), make_run(preset="quick"), make_run(choice={**GOAL, "goal": None})]
    assert [name for name, *_ in ours(*runs)] == ["LeNet", "B-LeNet", "B-LeNet, T given", "LeNet", "B-LeNet"]


def test_the_front_has_ours_below_a_row_of_the_papers_for_each_network():
    resnets = [make_run(2, network=name, branchy_network=f"B-{name}") for name in ("ResNet-20", "ResNet-110")]
    rows = [row[0] for row in rows_of(report.front_table([*resnets, make_run(1)], PUBLISHED))[2:]]
    papers_three = ["LeNet, paper", "LeNet, ours", "AlexNet, paper", "ResNet-110, paper"]
    assert rows == [*papers_three, "ResNet-110, ours", "ResNet-20, ours"], "the paper's own depth first"


def test_of_several_variants_of_a_network_the_front_names_each():
    variants = [
        make_run(2, variant=variant, seed=seed) for variant, seed in (("paper", 0), ("authors", 0), ("paper", 1))
    ]
    rows = [row[0] for row in rows_of(report.front_table(variants, PUBLISHED))[2:]]
    assert rows[1:4] == ["AlexNet, paper", "AlexNet (paper), ours (2 seeds)", "AlexNet (authors), ours"]


def test_the_tables_say_what_was_tuned_on_test_images():
    run = make_run(tuned_on_test=["weight decay", "epochs"])
    words = "weight decay and epochs tuned on test"
    assert [name for name, *_ in ours(run)] == ["LeNet", f"B-LeNet, {words}"]
    assert rows_of(report.front_table([run], PUBLISHED))[3][0] == f"LeNet, ours, {words}"


def test_the_columns_of_the_summary_stay_in_line_whatever_the_width_of_a_gain():
    run = make_run(2)
    run["measured"]["gain_over_chainer"] = {"value": 111.271, "low": 104.1, "high": 1118.81}
    lines = report.summary(run, PUBLISHED, "results").splitlines()
    heading, *rows = lines[3 : lines.index("", 3)]
    assert len(rows) >= 8 and max(map(len, lines)) <= 100
    for column in ("Gain", "Exit %", "T"):
        place = heading.rindex(column)
        assert all(row[place - 2 : place].strip() == "" for row in rows)
    assert any("111.27x (104.10-1118.81)" in row for row in rows)


def test_the_summary_stresses_the_headings_and_the_answer_alone():
    run, stressed = make_run(), []
    text = report.summary(run, PUBLISHED, "results", lambda line: stressed.append(line) or line)
    assert text == report.summary(run, PUBLISHED, "results")
    assert "Acc. %" in stressed[0] and stressed[1].startswith("B-LeNet, end to end") and len(stressed) == 2

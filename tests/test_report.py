"""The table in the paper's layout, and the summary for the terminal."""

import pathlib

import pytest
from synthetic_run import make_run

from branchynet import report
from branchynet.report import formats

REFERENCE = report.load_reference(pathlib.Path(__file__).resolve().parents[1] / "experiments" / "reference")


def cells_of(text, *words):
    """The cells of the first table row that holds all the words."""
    rows = [line for line in text.splitlines() if line.startswith("|") and all(word in line for word in words)]
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


def test_our_rows_have_both_clocks_and_both_gains():
    text = report.table(make_run(), REFERENCE)
    assert cells_of(text, "gain on the same engine")[3:5] == ["1.23", "1.62x (1.50–1.75)"]
    assert cells_of(text, "gain over plain Chainer")[3:5] == ["1.23", "6.48x (6.00–7.00)"]
    assert cells_of(text, "paper's clock (e)")[3:5] == ["0.500", "4.00x (3.50–4.50)"]
    assert cells_of(text, "joint, last exit only")[2:4] == ["98.50", "2.00"]


def test_the_papers_and_the_authors_rows_stand_beside_ours():
    text = report.table(make_run(), REFERENCE)
    assert cells_of(text, "Paper, CPU", "B-LeNet")[2:] == ["99.25", "0.62", "5.4x", "0.025", "94.3, 5.63"]
    assert cells_of(text, "Authors", "B-LeNet")[2:] == ["99.25", "0.56", "4.96x", "0.025", "93.95, 6.05"]


def test_two_early_exits_and_their_thresholds():
    text = report.table(make_run(2), REFERENCE)
    assert cells_of(text, "Paper, CPU", "B-AlexNet")[5:] == ["0.0001, 0.05", "65.6, 25.2, 9.2"]


def test_notes_tell_machine_command_clock_and_choice():
    notes = report.table(make_run(), REFERENCE)
    for words in (
        "Model X processor, 1 thread",
        "experiments/example.py --preset standard",
        "T was chosen on the validation",
    ):
        assert words in notes
    assert "optimistic" in notes and "only the trunk inside the clock" in notes


def test_what_was_not_measured_is_said_to_be_so():
    run = make_run()
    run["measured"]["end_to_end_ms"] = None
    run["measured"]["end_to_end_gain"] = None
    assert cells_of(report.table(run, REFERENCE), "gain on the same engine")[3:5] == ["not measured"] * 2


def test_a_network_of_ones_own_has_a_table_without_published_rows():
    run = {**make_run(), "network": "Mine", "branchy_network": "B-Mine"}
    text = report.table(run, REFERENCE)
    assert "| Paper" not in text and "no row for Mine" in text


@pytest.mark.parametrize("n_early", [1, 2])
def test_the_summary_fits_on_one_screen(n_early, tmp_path):
    lines = report.summary(make_run(n_early), REFERENCE, tmp_path).splitlines()
    assert len(lines) <= 24
    assert all(len(line) <= 100 for line in lines[:-1])
    assert any("1.62x (1.50-1.75)" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234"), (None, "not measured")]
)
def test_milliseconds_have_three_significant_digits(value, text):
    assert formats.ms(value) == text


def test_the_comparison_has_every_source_and_every_clock():
    text = report.comparison([make_run(), make_run(2)], REFERENCE)
    assert cells_of(text, "Paper, Table I")[2:7] == ["99.20", "99.25", "3.37", "0.62", "5.4x"]
    assert cells_of(text, "Ours, plain Chainer")[4:7] == ["8.00", "0.500", "4.00x (3.50–4.50)"]
    assert cells_of(text, "Ours, over plain Chainer")[4:7] == ["8.00", "1.23", "6.48x (6.00–7.00)"]
    assert cells_of(text, "Ours, on the same engine")[4:7] == ["2.00", "1.23", "1.62x (1.50–1.75)"]
    assert "## AlexNet on cifar10, CPU" in text and "## Why they differ" in text


def test_the_gains_of_a_comparison_leave_out_what_was_not_measured():
    run = make_run()
    run["measured"]["end_to_end_gain"] = None
    labels = dict(report.gains_of(run, REFERENCE))
    assert labels["paper"] == 5.4 and labels["ours, paper's clock"] == 4.0
    assert "ours, end to end, same engine" not in labels

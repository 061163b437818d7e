"""Table I: published rows once for each network, our runs with both clocks, seeds as mean and deviation."""

import copy
import pathlib

import pytest
from synthetic_run import make_run

from branchynet import report
from branchynet.report import table_one

REFERENCE = report.load_reference(pathlib.Path(__file__).resolve().parents[1] / "experiments" / "reference")


def with_seed(run, seed, accuracy_pct):
    changed = copy.deepcopy(run)
    changed["seed"], changed["measured"]["accuracy_pct"] = seed, accuracy_pct
    return changed


def rows_of(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")][2:]


def test_a_network_has_the_published_rows_once_and_ours_by_every_clock():
    rows = rows_of(table_one([make_run(1), make_run(2)], REFERENCE))
    sources = [row[0] for row in rows if row[1].endswith("B-LeNet")]
    assert sources == [
        "Paper",
        "Authors' notebook",
        "Ours, paper's clock",
        "Ours, end to end, same engine",
        "Ours, end to end, over Chainer",
    ]
    assert [row[2] for row in rows if row[:2] == ["Paper", "B-AlexNet"]] == ["79.19"]


def test_seeds_become_one_row_with_mean_and_deviation():
    run = make_run(1)
    rows = rows_of(table_one([with_seed(run, seed, pct) for seed, pct in ((1, 99.4), (0, 99.2), (2, 99.3))], REFERENCE))
    ours = [row for row in rows if row[0] == "Ours, end to end, same engine" and row[1] == "B-LeNet"]
    assert [(row[2], row[-1]) for row in ours] == [("99.30 ± 0.10", "3")]


@pytest.mark.parametrize("key", ["variant", "preset"])
def test_runs_that_differ_in_more_than_the_seed_stay_apart(key):
    other = {**make_run(1), key: "another"}
    rows = rows_of(table_one([make_run(1), other], REFERENCE))
    assert sum(row[0] == "Ours, paper's clock" and row[1].startswith("B-LeNet") for row in rows) == 2


def test_runs_with_another_goal_follow_the_knee_without_the_plain_network_again():
    run = make_run(1)
    goal = {**copy.deepcopy(run), "choice": {**run["choice"], "goal": "exits=97.5"}}
    rows = rows_of(table_one([goal, run], REFERENCE))
    ours = [row[1] for row in rows if row[0] == "Ours, end to end, same engine"]
    assert ours[:3] == ["LeNet", "B-LeNet", "B-LeNet, T for exits=97.5"]

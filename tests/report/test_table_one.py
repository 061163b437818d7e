"""Table I of several runs: what becomes one row, and what stands apart."""

from synthetic_run import PUBLISHED, make_run

from branchynet import report

from .test_report import rows_of


def test_runs_on_another_engine_and_of_the_same_seed_again_are_rows_of_their_own():
    runs = [make_run(seed=0), make_run(seed=1), make_run(seed=0, engine="arrays"), make_run(seed=1)]
    ours = [row[1] for row in rows_of(report.front_table(runs, PUBLISHED)) if "ours" in row[0]]
    assert ours == ["98.00 ± 0.00", "98.00", "98.00"]


def test_a_run_on_another_data_set_is_named_and_stands_beside_no_published_row():
    runs = [make_run(dataset="fashion-mnist"), make_run()]
    names = [(row[0], row[1]) for row in rows_of(report.table_one(runs, PUBLISHED))]
    assert names.index(("Paper", "B-LeNet")) < names.index(("Ours, paper's clock", "B-LeNet on mnist"))
    assert ("Ours, paper's clock", "B-LeNet on fashion-mnist") in names
    ours = [row for row in rows_of(report.front_table(runs, PUBLISHED)) if "ours" in row[0]]
    assert len(ours) == 1


def test_times_of_several_machines_are_not_averaged():
    runs = [make_run(seed=seed) for seed in range(3)]
    runs[1]["environment"] = {**runs[1]["environment"], "device": "Another"}
    for run, factor in zip(runs, (1, 4, 3)):
        run["measured"]["plain_ms"]["mean"] *= factor
    plain, branchy = rows_of(report.front_table(runs, PUBLISHED))[3][3:5]
    assert plain == "4.00; 8.00" and branchy == "1.23; 1.23"

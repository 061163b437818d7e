"""What a run leaves behind: complete, exact, and whole or not at all."""

import copy
import csv
import json
import pathlib

import numpy as np
import pytest
from synthetic_run import make_run

from branchynet import records
from branchynet.errors import OutputError

REFERENCE = pathlib.Path(__file__).resolve().parents[1] / "experiments" / "reference"


@pytest.mark.parametrize("n_early", [1, 2])
def test_a_complete_run_is_accepted(n_early):
    records.check_run(make_run(n_early))


@pytest.mark.parametrize(
    "place",
    ["seed", "measured.end_to_end_gain.low", "choice.paper_way.thresholds", "points.0.split", "history.0.exits.0.loss"],
)
def test_a_missing_key_is_named_with_its_place(place):
    run = copy.deepcopy(make_run())
    *path, key = place.split(".")
    inner = run
    for step in path:
        inner = inner[int(step)] if step.isdigit() else inner[step]
    del inner[key]
    with pytest.raises(ValueError, match=key):
        records.check_run(run)


def test_thresholds_must_fit_the_exits():
    run = copy.deepcopy(make_run())
    run["measured"]["thresholds"] = [0.1, 0.2]
    with pytest.raises(ValueError, match="measured: expected 1 thresholds and 2 exit_pct, got 2 and 2"):
        records.check_run(run)


def test_json_survives_a_round_trip_and_numpy_becomes_plain(tmp_path):
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": (1, 2), "d": None, "e": np.bool_(True)}
    records.write_json(tmp_path / "x.json", value)
    assert records.read_json(tmp_path / "x.json") == {"a": 0.5, "b": [0, 1, 2], "c": [1, 2], "d": None, "e": True}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float32("nan")])
def test_a_number_that_is_not_finite_is_refused_and_the_old_file_stays(tmp_path, number):
    path = tmp_path / "x.json"
    records.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match=r"x.json: a\[1\]: expected a finite number"):
        records.write_json(path, {"a": [1, number]})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_sweep_has_one_row_a_point_with_the_columns_of_the_reference(tmp_path):
    run = make_run(2)
    records.write_sweep(tmp_path / "sweep.csv", run)
    with open(tmp_path / "sweep.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    with open(REFERENCE / "authors_notebook_alexnet.csv", newline="") as handle:
        columns = csv.DictReader(handle).fieldnames
    assert list(rows[0])[: len(columns)] == columns
    assert len(rows) == len(run["points"])
    assert rows[1]["thresholds"] == "0.01 0.25"
    assert float(rows[1]["time_ms"]) == pytest.approx(run["points"][1]["end_to_end_ms"])


def test_a_folder_that_cannot_be_written_is_found_out_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected a folder that can be written"):
        records.prepare_output(tmp_path / "file")
    assert records.prepare_output(tmp_path / "new" / "folder").is_dir()


def test_the_environment_tells_versions_and_commit_but_no_names_of_machine_or_user():
    environment = records.environment("Model X", 1)
    assert environment["device"] == "Model X" and environment["threads"] == 1
    assert environment["versions"]["chainer"] == "7.8.1"
    text = json.dumps(environment)
    assert str(pathlib.Path.home()) not in text and "hostname" not in text


def test_the_reference_holds_the_papers_table_and_the_authors_notebooks():
    reference = records.load_reference(REFERENCE)
    chosen = records.select(make_run(), reference)
    assert (chosen.paper_branchy["accuracy_pct"], chosen.paper_branchy["thresholds"]) == (99.25, (0.025,))
    assert chosen.authors_chosen["time_ms"] == 0.56 and chosen.authors_baseline["accuracy_pct"] == 99.07
    other = {**make_run(), "dataset": "fashion-mnist"}
    assert records.select(other, reference).paper_branchy is None

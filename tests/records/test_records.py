"""What a run leaves behind: complete, exact, and whole or not at all."""

import csv
import json
import pathlib
import shutil
import socket
import subprocess

import numpy as np
import pytest
from synthetic_run import PUBLISHED, REFERENCE, change, make_run

from branchynet import records
from branchynet.errors import OutputError, RecordError
from branchynet.machine.devices import describe
from branchynet.records import provenance


@pytest.mark.parametrize("n_early", [1, 2])
def test_a_complete_run_is_accepted_also_where_something_was_not_measured(n_early):
    records.check_run(make_run(n_early))
    run = make_run(n_early)
    run["measured"].update(plain_ms={}, end_to_end_gain=None)
    records.check_run(run)


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("seed", None, "seed is missing"),
        ("measured.end_to_end_gain.low", None, r"measured\.end_to_end_gain\.low is missing"),
        ("choice.chosen_on_test.thresholds", None, r"choice\.chosen_on_test\.thresholds is missing"),
        ("points.0.split", None, r"points\[0\]\.split is missing"),
        ("history.0.exits.0.loss", None, r"history\[0\]\.exits\[0\]\.loss is missing"),
        ("measured.thresholds", [0.1, 0.2], "measured: expected 1 thresholds and 2 exit_pct, got 2 and 2"),
        ("points", [], "points: expected at least one entry"),
        ("chosen", 6, "chosen: expected an index into 6 points, got 6"),
        ("exits", 7, "exits: expected a list, got int"),
        ("measured.plain_ms", 7.0, "measured.plain_ms: expected a dictionary, got float"),
        ("measured.exit_pct", 5, "measured.exit_pct: expected a list of finite numbers, got 5"),
        ("points.0.thresholds", ["0.1"], r"points\[0\].thresholds: expected a list of finite numbers, got \['0.1'\]"),
        ("points.5.end_to_end_gain", True, r"points\[5\].end_to_end_gain: expected a finite number, got True"),
        ("baselines.0.accuracy_pct", "98", r"baselines\[0\].accuracy_pct: expected a finite number, got '98'"),
        ("measured.plain_ms.mean", float("inf"), "measured.plain_ms.mean: expected a finite number, got inf"),
        ("seed", 0.5, "seed: expected a whole number, got 0.5"),
        ("points.0.on_front", 1, r"points\[0\].on_front: expected true or false, got 1"),
        ("choice.goal", 1, "choice.goal: expected a text, got 1"),
        ("environment.blas", "openblas", "environment.blas: expected a list of texts, got 'openblas'"),
        ("weights_sha256", [], "weights_sha256: expected a dictionary, got list"),
        ("operating_points", [{"name": "fast", "thresholds": [1]}], r"operating_points\[0\].exit_pct is missing"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named_with_its_place(place, value, problem):
    run = make_run()
    change(run, place, value)
    with pytest.raises(ValueError, match=f"run: {problem}"):
        records.check_run(run)


def test_no_list_where_one_is_expected_is_told_as_what_it_is():
    run = make_run()
    run["measured"]["thresholds"] = None
    with pytest.raises(ValueError, match="measured.thresholds: expected a list of finite numbers, got None"):
        records.check_run(run)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"schema": 1}', "expected a record with schema 2, got 1: another version of this library wrote it"),
        *[(text, "expected a record with schema 2, got None") for text in ("{}", "[]", "null")],
        ('{"schema": NaN}', "expected finite numbers, got NaN"),
        ("{", "expected a record as JSON"),
    ],
)
def test_what_is_no_record_of_this_version_is_refused_with_the_name_of_the_file(text, problem, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordError, match=f"{tmp_path}/run.json: .*{problem}"):
        records.read_run(tmp_path / "run.json")
    with pytest.raises(RecordError, match=f"{tmp_path}/other.json: .*No such file"):
        records.read_run(tmp_path / "other.json")


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
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines()))
    columns = (REFERENCE / "authors_notebook_alexnet.csv").read_text().splitlines()[0].split(",")
    assert list(rows[0])[: len(columns)] == columns and len(rows) == len(run["points"])
    assert (rows[1]["thresholds"], rows[1]["split"], rows[1]["on_front"]) == ("0.01 0.25", "validation", "1")
    assert float(rows[1]["time_ms"]) == pytest.approx(run["points"][1]["end_to_end_ms"])


def test_a_folder_that_cannot_be_written_is_found_out_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected a folder that can be written"):
        records.prepare_output(tmp_path / "file")
    assert records.prepare_output(tmp_path / "new" / "folder").is_dir()


def test_the_environment_tells_versions_and_commit_but_no_names_of_machine_or_user(device):
    environment = records.environment(device, 1)
    assert (environment["device"], environment["threads"]) == (describe(device), 1)
    assert bool(environment["gpu"]) == (device.xp is not np)
    assert environment["versions"]["chainer"] == "7.8.1"
    assert environment["packages"]["scipy"] and environment["processor"]["model"] == environment["cpu"]
    assert set(environment["load"]) == {"before", "after"}
    text = json.dumps(environment)
    assert str(pathlib.Path.home()) not in text and f'"{socket.gethostname()}"' not in text


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("path", "dirty"),
    [
        ("other.py", True),
        ("kernels.c", True),
        ("new/page.html", True),
        ("notes.md", False),
        ("experiments/results/x.html", False),
    ],
)
def test_a_record_names_the_commit_and_whether_code_differs_from_it(tmp_path, path, dirty):
    source, changed = tmp_path / "source.py", tmp_path / path
    for file in (source, tmp_path / "kernels.c"):
        file.write_text("x = 1", "utf-8")
    name = ["-c", "user.name=x", "-c", "user.email=x"]
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    commit, was_dirty = provenance._git_state(source)
    assert len(commit) == 40 and not was_dirty
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text("x = 2", "utf-8")
    assert provenance._git_state(source) == (commit, dirty)


def test_the_reference_holds_the_papers_table_and_the_authors_notebooks(tmp_path):
    found = records.select(make_run(), PUBLISHED)
    assert (found.paper_branchy["accuracy_pct"], found.paper_branchy["thresholds"]) == (99.25, (0.025,))
    assert found.authors_chosen["time_ms"] == 0.56 and found.authors_plain["accuracy_pct"] == 99.07
    assert records.select(make_run(dataset="fashion-mnist"), PUBLISHED) == records.Published()
    (tmp_path / "paper_table1.csv").write_text("network,accuracy_pct\nLeNet,high\n")
    with pytest.raises(RecordError, match="paper_table1.csv: expected the columns network, accuracy_pct"):
        records.load_published(tmp_path)

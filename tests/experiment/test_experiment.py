"""The whole story of an experiment, on a tiny network and data set, from its command line."""

import csv
import dataclasses
import json
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_experiment import EXPERIMENT, LENET, N_TEST, QUICKLY, RESULTS, ROOT, main, tiny_dataset

from branchynet import datasets, records
from branchynet.experiment import main as run_main
from branchynet.inference.engines import engine_classes


def test_a_run_leaves_records_table_and_figures(tmp_path, capsys, drawn):
    assert main(EXPERIMENT, ["--out", str(tmp_path), "--seed", "3"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == RESULTS
    run = records.read_json(tmp_path / "run.json")
    assert run["network"] == "Tiny" and run["branchy_network"] == "B-Tiny" and run["seed"] == 3
    assert run["command"] == "experiments/tiny.py --seed 3 --budget 0.1 --processes-timed 1"
    assert [entry["phase"] for entry in run["history"]] == ["plain", "joint", "longer"]
    assert run["measured"]["split"] == "test" and run["choice"]["split"] == "validation"
    with open(tmp_path / "sweep.csv", newline="") as lines:
        assert len(list(csv.DictReader(lines))) >= len(run["points"])
    summary = capsys.readouterr().out
    assert "B-Tiny" in summary and len(summary.splitlines()) <= 24


def test_a_run_that_is_resumed_after_its_end_measures_again_without_training(first):
    before = records.read_json(first / "run.json")
    assert main(EXPERIMENT, ["--out", str(first), "--seed", "4", "--resume"]) == 0
    after = records.read_json(first / "run.json")
    assert after["history"] == before["history"]
    assert after["baselines"][0]["accuracy_pct"] == before["baselines"][0]["accuracy_pct"]
    assert [e["accuracy_pct"] for e in after["exits"]] == [e["accuracy_pct"] for e in before["exits"]]


def test_the_same_seed_gives_the_same_weights_and_thresholds_of_the_command_line_are_used(finished, tmp_path):
    assert main(EXPERIMENT, ["--out", str(tmp_path), "--seed", "4", "--thresholds", "0.9", "0.5"]) == 0
    with np.load(finished / "weights.npz") as a, np.load(tmp_path / "weights.npz") as b:
        assert all((a[key] == b[key]).all() for key in a.files)
    assert records.read_json(tmp_path / "run.json")["measured"]["thresholds"] == [0.9, 0.5]


def test_other_ways_to_train_are_recorded(tmp_path):
    argv = ["--weighting", "confidence", "--freeze-trunk", "--loss-weights", "1", "0.5", "0.3", "--average", "0.9"]
    assert main(EXPERIMENT, ["--out", str(tmp_path), *argv]) == 0
    run = records.read_json(tmp_path / "run.json")
    joint, first = run["training_settings"]["joint"], run["training_settings"]["plain"]
    assert (joint["weighting"], joint["freeze_trunk"], joint["loss_weights"]) == ("confidence", True, [1, 0.5, 0.3])
    assert (joint["average"], first["average"]) == (0.9, 0)
    assert (first["weighting"], first["freeze_trunk"], first["loss_weights"]) == (None, False, None)
    assert run["command"] == "experiments/tiny.py " + " ".join([*argv, *QUICKLY])
    with np.load(tmp_path / "plain.npz") as before, np.load(tmp_path / "weights.npz") as after:
        moved = {key for key in before.files if (before[key] != after[key]).any()}
    assert moved and all(key.startswith("exits/") for key in moved)


def test_thresholds_are_chosen_for_the_goal_of_the_command_line(tmp_path):
    assert main(EXPERIMENT, ["--out", str(tmp_path), "--choose", "exits=50,50"]) == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["choice"]["goal"] == run["arguments"]["choose"] == "exits=50,50"
    assert run["points"][run["chosen"]]["thresholds"] == run["measured"]["thresholds"]
    assert "50, 50 % of the samples that reach" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--loss-weights", "1", "0.3"], "expected 3 (one for each exit), got 2"),
        (["--choose", "exits=50"], "exits=50: expected 2 numbers, one for each early exit, got 1"),
        (["--thresholds", "0.1", "0.2", "0.3"], r"thresholds: expected 2 (the last exit takes all), got 3"),
        (["--thresholds", "-1", "0.5"], "a score >= 0 (an entropy: in nats), got -1"),
        (["--device", "gpu:99"], "device gpu:99:"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_with_status_2(argv, message, tmp_path, capsys):
    assert main(EXPERIMENT, [*argv, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tiny.py: error: ") and message in error and "Traceback" not in error


def test_weights_of_an_earlier_run_are_taken_without_training(finished, tmp_path):
    again = ["--weights", str(finished), "--out", str(tmp_path / "again"), "--thresholds", "1", "1"]
    assert main(EXPERIMENT, again) == 0
    first, second = (records.read_json(folder / "run.json") for folder in (finished, tmp_path / "again"))
    assert second["history"] == first["history"] and second["seed"] == 4
    assert second["trained_by"]["command"] == first["command"] and first["trained_by"] is None
    assert [row["accuracy_pct"] for row in second["baselines"]] == [row["accuracy_pct"] for row in first["baselines"]]
    assert [entry["accuracy_pct"] for entry in second["exits"]] == [entry["accuracy_pct"] for entry in first["exits"]]
    assert (
        second["command"] == "experiments/tiny.py --weights first --thresholds 1 1 --budget 0.1 --processes-timed 1"
        and second["arguments"]["weights"] == "first"
    )
    assert not (tmp_path / "again" / "plain.snapshot.npz").exists()


def test_a_record_names_the_run_that_trained_however_often_it_is_measured_again(finished, tmp_path):
    measured_again = shutil.copytree(finished, tmp_path / "again")
    for _ in range(2):
        assert main(EXPERIMENT, ["--weights", str(measured_again), "--out", str(tmp_path / "out")]) == 0
        shutil.copy(tmp_path / "out" / "run.json", measured_again)
    trained, last = (records.read_json(folder / "run.json") for folder in (finished, measured_again))
    assert last["trained_by"]["command"] == trained["command"] != last["command"]


def without_times(value):
    """A record less all that a second run may have otherwise."""
    if isinstance(value, dict):
        # Which T is chosen for equal accuracy, and which point is on the front, follows from measured times.
        left_out = ("ms", "gain", "environment", "command", "on_front", "choice", "chosen", "timed", "count", "latency")
        left_out += ("operating_points",)
        return {k: without_times(v) for k, v in value.items() if not any(w in k for w in (*left_out, "elapsed"))}
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("options", [["--seed", "5", "--thresholds", "0.9", "1"], ["--weights", "first"]])
def test_the_command_of_a_record_gives_that_record_again(first, tmp_path, monkeypatch, options):
    (tmp_path / "experiments").mkdir()
    experiment = dataclasses.replace(EXPERIMENT, script=tmp_path / "experiments" / "tiny.py")
    monkeypatch.chdir(tmp_path)
    more = [] if "--thresholds" in options else ["--thresholds", "0.9", "1"]
    assert main(experiment, ["--out", str(tmp_path / "a"), *options, *more]) == 0
    recorded = records.read_json(tmp_path / "a" / "run.json")
    script, *words = shlex.split(recorded["command"])
    assert script == "experiments/tiny.py" and words[:2] == options[:2]
    assert run_main(experiment, [*words, "--out", "b"]) == 0
    again = records.read_json(tmp_path / "b" / "run.json")
    assert without_times(again) == without_times(recorded)
    assert again["weights_sha256"] == recorded["weights_sha256"] and len(recorded["weights_sha256"]) == 3
    assert again["command"] == recorded["command"]


SCRIPT = """
import dataclasses, pathlib, sys
sys.path[:0] = [{root!r}, {tests!r}]
import branchynet
from tiny_experiment import EXPERIMENT
from branchynet.experiment import main
sys.exit(main(dataclasses.replace(EXPERIMENT, script=pathlib.Path(__file__))))
"""


def test_t_is_timed_in_processes_of_their_own_each_on_its_part_of_the_shuffled_images(tmp_path):
    script = tmp_path / "tiny.py"
    script.write_text(SCRIPT.format(root=str(ROOT), tests=str(ROOT / "tests")))
    several = dataclasses.replace(EXPERIMENT, script=script)
    argv = ["--out", str(tmp_path / "out"), "--seed", "3", "--processes-timed", "3", "--budget", "5"]
    assert run_main(several, argv) == 0
    measured = records.read_json(tmp_path / "out" / "run.json")["measured"]
    assert (measured["n_processes_timed"], measured["n_samples_timed"]) == (3, N_TEST)
    assert measured["timed_exit_pct"] == pytest.approx(measured["exit_pct"]), "all images were timed"
    with np.load(tmp_path / "out" / "timings.npz") as timed:
        assert timed["processes"].tolist() == [0] * 8 + [1] * 8 + [2] * 8
        assert timed["images"].tolist() == np.random.default_rng(3).permutation(N_TEST).tolist()
        gain = timed["plain_ms"].mean() / timed["end_to_end_ms"][0].mean()
        assert timed["settings"][0].tolist() == measured["thresholds"]
    assert measured["end_to_end_gain"]["value"] == pytest.approx(gain)


def test_the_papers_settings_are_measured_where_the_paper_has_the_network(tmp_path):
    lenet = dataclasses.replace(EXPERIMENT, network=lambda options: LENET)
    assert main(lenet, ["--out", str(tmp_path)]) == 0
    points = {point["name"]: point for point in records.read_json(tmp_path / "run.json")["operating_points"]}
    assert set(points) == {"equal accuracy", "paper's T", "paper's exit shares"}
    assert points["paper's T"]["thresholds"] == [0.025]
    assert points["paper's exit shares"]["exit_pct"][0] == pytest.approx(94.3, abs=10)
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert all(f"| {name} " in table for name in ("chosen", *points))


def test_a_plain_network_that_an_earlier_run_did_not_train_as_long_is_trained_now_as_that_run_would_have(
    first, tmp_path
):
    (first / "longer.npz").rename(tmp_path / "kept.npz")
    assert main(EXPERIMENT, ["--weights", str(first), "--out", str(tmp_path / "again")]) == 0
    with np.load(tmp_path / "kept.npz") as kept, np.load(tmp_path / "again" / "longer.npz") as found:
        plain = [key for key in kept.files if key.startswith(("trunk", "exits/2"))]
        assert plain and all((kept[key] == found[key]).all() for key in plain)
    provenance = records.read_json(tmp_path / "again" / "longer.json")["provenance"]
    assert provenance["step"] == "plain network trained on, as long as step 2"
    made = {key: records.read_json(first / "run.json")[key] for key in ("preset", "seed")}
    assert made == {key: provenance[key] for key in made} and made["seed"] != 0


def test_step_2_starts_from_the_plain_network_of_an_earlier_run(finished, tmp_path):
    assert main(EXPERIMENT, ["--plain-from", str(finished), "--out", str(tmp_path / "next")]) == 0
    first, second = (records.read_json(folder / "run.json") for folder in (finished, tmp_path / "next"))
    step_1 = [next(row for row in run["baselines"] if "step 1" in row["name"]) for run in (first, second)]
    assert step_1[0]["accuracy_pct"] == step_1[1]["accuracy_pct"]
    assert second["history"][0] == first["history"][0] and second["history"][1] != first["history"][1]
    assert second["training_settings"]["plain"]["seed"] == 4 and second["training_settings"]["joint"]["seed"] == 0
    assert second["plain_from"]["command"] == first["command"] and first["plain_from"] is None
    assert second["command"] == "experiments/tiny.py --plain-from first --budget 0.1 --processes-timed 1"
    assert second["arguments"]["plain_from"] == "first"
    assert not (tmp_path / "next" / "plain.snapshot.npz").exists()
    again = ["--weights", str(tmp_path / "next"), "--out", str(tmp_path / "again")]
    assert main(EXPERIMENT, again) == 0
    assert records.read_json(tmp_path / "again" / "run.json")["plain_from"] == second["plain_from"]


def test_a_plain_network_that_the_earlier_run_trained_on_alike_is_taken_with_its_step_1(first, tmp_path):
    record = records.read_json(first / "run.json")
    records.write_json(first / "run.json", {**record, "tuned_on_test": ["weight decay"]})
    for name, options in {
        "alike": ["--seed", "4", "--loss-weights", "1", "2", "1"],
        "otherwise": ["--seed", "5"],
    }.items():
        assert main(EXPERIMENT, ["--plain-from", str(first), "--out", str(tmp_path / name), *options]) == 0
    trained, taken, otherwise = (folder / "longer" for folder in (first, tmp_path / "alike", tmp_path / "otherwise"))
    assert taken.with_suffix(".json").exists() and not (tmp_path / "alike" / "longer.snapshot.npz").exists()
    provenance = [records.read_json(stem.with_suffix(".json"))["provenance"] for stem in (trained, taken, otherwise)]
    assert provenance[0] == provenance[1] and provenance[2]["seed"] == 5
    run = records.read_json(tmp_path / "alike" / "run.json")
    assert run["tuned_on_test"] == ["weight decay"]
    assert [row for row in run["history"] if row["phase"] == "longer"] == provenance[0]["history"]
    with np.load(trained.with_suffix(".npz")) as expected, np.load(taken.with_suffix(".npz")) as found:
        assert all((expected[key] == found[key]).all() for key in expected.files if key.startswith("trunk"))


@pytest.mark.parametrize("option", ["--weights", "--plain-from"])
@pytest.mark.parametrize("other", [["--dataset", "fashion-mnist"], ["--transform", "zca"]])
def test_weights_for_other_images_are_refused(finished, tmp_path, capsys, option, other):
    assert main(EXPERIMENT, [option, str(finished), "--out", str(tmp_path / "next"), *other]) == 2
    assert f"a run with {other[0]} " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "taken", "instead"),
    [
        ("--plain-from", "plain", "longer"),
        ("--plain-from", "longer", "plain"),
        ("--weights", "plain", "longer"),
        ("--weights", "longer", "plain"),
    ],
)
def test_weights_of_a_run_that_left_no_record_are_not_taken_for_those_of_the_run_before(
    first, tmp_path, capsys, option, taken, instead
):
    for ending in ("npz", "json"):
        shutil.copy(first / f"{instead}.{ending}", first / f"{taken}.{ending}")
    assert main(EXPERIMENT, [option, str(first), "--seed", "4", "--out", str(tmp_path / "next")]) == 2
    assert f"{taken}: expected the record of the run that made the weights" in capsys.readouterr().err


def test_weights_that_are_not_there_are_missed(tmp_path, capsys):
    assert main(EXPERIMENT, ["--weights", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert "expected plain.npz and plain.json" in capsys.readouterr().err


def test_weights_of_other_data_or_of_another_run_are_refused(first, tmp_path, capsys, monkeypatch):
    again = ["--out", str(tmp_path / "again"), "--weights", str(first)]
    run_path = first / "run.json"
    run = records.read_json(run_path)
    records.write_json(run_path, {**run, "weights_sha256": {**run["weights_sha256"], "weights": "0" * 64}})
    assert main(EXPERIMENT, again) == 2
    assert "expected the record of the run that made the weights, got another run's" in capsys.readouterr().err
    records.write_json(run_path, run)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: tiny_dataset(seed=2))
    for argv in (again, ["--out", str(tmp_path / "again"), "--plain-from", str(first)]):
        assert main(EXPERIMENT, argv) == 2
        assert "expected weights trained on" in capsys.readouterr().err


def test_a_disk_that_cannot_hold_the_results_is_told_before_the_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
    assert main(EXPERIMENT, ["--out", str(tmp_path)]) == 2
    assert "expected 34 MB of free space, got 2 MB" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "nothing was trained"


def test_an_engine_that_cannot_be_used_is_missed_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        engine_classes()["onnxruntime"], "problem", staticmethod(lambda device: "needs what is not here")
    )
    monkeypatch.setattr(datasets, "load", lambda *arguments: pytest.fail("it read the data"))
    assert main(EXPERIMENT, ["--out", str(tmp_path), "--engine", "onnxruntime"]) == 2
    assert "needs what is not here" in capsys.readouterr().err

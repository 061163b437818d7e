"""Figures 4, 5 and 6 on a tiny network and data set; the branches of all depths on their own networks."""

import functools

import chainer.links as L
import figures as script
import pytest
from tiny import N_CLASSES, assert_is_drawn

from branchynet import Branch, BranchyNet, records, report
from branchynet.bench import cache
from branchynet.inference.plan import make_plan
from networks import branch_depths, zoo

PUBLISHED = records.load_published(script.REFERENCE)


def tiny_branch(n_convolutions):
    """A first branch for `tiny_list`; a linear layer stands for a convolution."""

    return Branch([*(L.Linear(72, 72) for _ in range(n_convolutions)), L.Linear(72, N_CLASSES)], weight=1.0)


@pytest.fixture
def run_script(tiny_network, tiny_experiment, tmp_path, monkeypatch):
    """(options) -> the record that the script leaves, of a tiny network."""
    monkeypatch.setattr(script, "NETWORKS", {"tiny": (tiny_experiment, 1)})
    monkeypatch.setattr(branch_depths, "BRANCHES", {"tiny": tiny_branch})
    monkeypatch.setattr(script, "BRANCHES", branch_depths.BRANCHES)
    records.write_json(tiny_network.folder / "run.json", {"choice": {"thresholds": [0.5, 1.0]}})

    def run(*options):
        words = ["--networks", "tiny", "--out", tmp_path / "out", "--budget", "0.1", *options]
        assert script.main(list(map(str, words))) == 0
        return records.read_json(tmp_path / "out" / "figures.json")

    return run


def test_figures_come_with_their_record_and_a_second_run_trains_nothing(run_script, tmp_path, forbid_training, capsys):
    (network,) = run_script("--depths", 0, 2)["networks"]
    shares = [row["exit_pct"][0] for row in network["sweep"]]
    assert shares[0] == 0 and shares[-1] == 100 and shares == sorted(shares)
    assert {row["thresholds"][1] for row in network["sweep"]} == {1.0}
    assert all(row["gain"]["low"] <= row["gain"]["value"] <= row["gain"]["high"] for row in network["sweep"])
    assert network["plain"]["misses"].keys() == network["sweep"][0]["misses"].keys()
    assert [row["n_convolutions"] for row in network["depths"]] == [0, 2]
    assert network["depths"][1]["multiply_adds"] > network["depths"][0]["multiply_adds"]
    trained, plain = network["depths_trained"], records.read_json(tmp_path / "tiny" / "plain.json")
    assert (trained["settings"]["epochs"], trained["plain_sha256"]) == (1, plain["sha256"])
    assert (tmp_path / "out" / "figures.md").read_text().strip() in capsys.readouterr().out
    for number in (4, 5, 6):
        assert_is_drawn(tmp_path / "out" / f"figure{number}.png")
    forbid_training("a finished branch is not trained again")
    again = run_script("--depths", 0, 2)["networks"][0]["depths"]
    accuracies = [[row["exit_accuracy_pct"] for row in rows] for rows in (again, network["depths"])]
    assert accuracies[0] == accuracies[1]


def test_a_frozen_trunk_and_no_depths_at_all_are_said(run_script):
    (network,) = run_script("--depths")["networks"]
    assert network["depths"] == [] and "depths_trained" not in network
    record = run_script("--depths", 1, "--freeze-trunk", "--epochs", 2)
    assert record["command"].startswith("experiments/figures.py --networks tiny --depths 1 --epochs 2 --freeze-trunk")
    settings = record["networks"][0]["depths_trained"]["settings"]
    assert settings["freeze_trunk"] and settings["epochs"] == 2
    assert "the branches alone, on the frozen trunk, 2 epochs" in report.paper_figures(record, PUBLISHED)


def test_counted_misses_are_called_counted_and_modelled_ones_by_a_model(run_script, monkeypatch):
    monkeypatch.setattr(cache, "_open_counter", lambda kind, config: None)
    record = run_script("--depths")
    assert record["networks"][0]["cache"].keys() == {"kind", "cache_bytes"}
    assert "no measurement" in report.paper_figures(record, PUBLISHED)
    monkeypatch.setattr(cache, "count_misses", lambda answer, samples: {"last level": 7.0})
    record = run_script("--depths")
    assert record["networks"][0]["cache"] == {"kind": "counters"}
    assert record["networks"][0]["sweep"][0]["misses"] == {"last level": 7.0}
    text = report.paper_figures(record, PUBLISHED)
    assert "by the processor's counters" in text and "no measurement" not in text


def test_beside_ours_stand_the_papers_point_and_the_notebook_at_the_papers_t_of_the_other_exits():
    rows, point = report.published_sweep("alexnet-paper", PUBLISHED)
    assert point["thresholds"] == (0.0001, 0.05) and len(rows) == 11
    assert {row["thresholds"][1] for row in rows} == {0.05}
    assert report.published_sweep("resnet-20", PUBLISHED) == ([], None)


@pytest.mark.parametrize(("name", "papers"), [("lenet", 1), ("alexnet-paper", 2)])
def test_a_branch_has_so_many_convolutions_and_the_papers_number_gives_the_papers_branch(name, papers):
    def multiply_adds(build):
        shape = {"lenet": (1, 28, 28), "alexnet-paper": (3, 32, 32)}[name]
        return make_plan(BranchyNet(build()), shape).path_multiply_adds()

    by_depth = [multiply_adds(functools.partial(branch_depths.build_with, name, n)) for n in range(4)]
    assert by_depth[papers] == multiply_adds(zoo.get(name).build)
    assert [paths[0] for paths in by_depth] == sorted({paths[0] for paths in by_depth})
    assert isinstance(branch_depths.build_with(name, 0)[-1], Branch)

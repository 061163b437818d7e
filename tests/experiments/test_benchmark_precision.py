"""The benchmark of engines and precisions, on a tiny network."""

from unittest.mock import Mock

import benchmark_precision as script
import pytest
import subjects
from tiny import assert_is_drawn

from branchynet import records
from branchynet.inference.engines import engine_classes
from branchynet.machine.devices import get_device


@pytest.fixture
def options(tiny_network, tmp_path):
    """The command line that measures a released network into `tmp_path`/out."""
    return ["--networks", "tiny", "--budget", "0.2", "--seed", "3", "--out", str(tmp_path / "out")]


@pytest.fixture
def result(options, tmp_path):
    """The record that the script leaves."""
    assert script.main(options) == 0
    return records.read_json(tmp_path / "out" / "precision.json")


def test_every_engine_and_precision_has_its_row_or_a_reason(result, tmp_path):
    (network,) = result["networks"]
    rows = {(row["engine"], row["precision"]): row for row in network["rows"]}
    pairs = {(name, precision) for name, engine in engine_classes().items() for precision in engine.precisions}
    assert {f"{engine} {precision}" for engine, precision in pairs - set(rows)} == set(network["left_out"])
    for row in rows.values():
        assert row["gain"]["low"] <= row["gain"]["value"] <= row["gain"]["high"] and row["n_images_timed"] > 0
        assert sum(row["exit_pct"]) == pytest.approx(100)
    exact = rows["arrays", "f32"]
    assert exact["differing_pct"] == 0
    subject = subjects.load_subject("tiny", get_device("cpu"), seed=3)
    assert exact["thresholds"] == list(subject.rule.values)
    assert result["command"].endswith("--networks tiny --budget 0.2 --seed 3")
    table = (tmp_path / "out" / "precision.md").read_text(encoding="utf-8")
    assert table.count("\n| tiny ") == len(rows) + 1
    assert_is_drawn(tmp_path / "out" / "precision.png")


def test_ctrl_c_leaves_the_networks_that_were_done(options, tmp_path, monkeypatch, capsys):
    done = {"network": "tiny", "rows": [], "left_out": {}}
    measure = Mock(side_effect=[done, KeyboardInterrupt])
    monkeypatch.setattr(script, "bench_network", measure)
    monkeypatch.setattr(script.report, "precision_table", lambda result: "")
    monkeypatch.setattr(script.plots, "gains_by_precision", lambda result, path: None)
    assert script.main(["--networks", "tiny", "tiny", *options[2:]]) == 130
    record = records.read_json(tmp_path / "out" / "precision.json")
    assert record["networks"] == [done] and "--networks tiny --budget" in record["command"]
    assert "--networks names the others" in capsys.readouterr().err

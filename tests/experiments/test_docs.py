"""The scripts that make tables from records, and the pages that these tables stand in."""

import re

import compare
import pytest
import table
from synthetic_run import make_run

import docs
from branchynet import records
from branchynet.errors import RecordError

PAGE = "# Page\n\n<!-- generated: {} -->\n{}\n<!-- end -->\nmore\n"


@pytest.mark.parametrize(("script", "name"), [(table, "table.md"), (compare, "comparison.md")])
def test_a_record_becomes_a_table_printed_and_written(script, name, tmp_path, capsys):
    records.write_json(tmp_path / "run.json", make_run())
    assert script.main([str(tmp_path), "--out", str(tmp_path)]) == 0
    text = (tmp_path / name).read_text()
    assert text in capsys.readouterr().out and "| Ours" in text


def test_two_runs_of_a_network_are_both_in_the_picture(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(compare.plots.style, "save", lambda figure, path: drawn.extend(figure.axes))
    for name in "ab":
        (tmp_path / name).mkdir()
        records.write_json(tmp_path / name / "run.json", make_run())
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path)]) == 0
    assert [axes.get_title() for axes in drawn] == ["B-LeNet on mnist"] * 2


def on_gpu(name="lenet"):
    """A benchmark of released weights on a GPU that never was."""
    run = make_run()
    sha256 = records.read_json(table.RELEASED / name / "weights.json")["sha256"]
    keys = ("accuracy_pct", "thresholds", "exit_pct")
    environment = {"device": "Tiny GPU", "gpu": {"driver": "570.86", "cuda": "12.8"}, "cpu": "Model X", "threads": 1}
    found = {"network": name, "weights_sha256": sha256, "engine": "cuda", "command": "c", "environment": environment}
    return {**found, "measured": run["measured"], **{key: run["measured"][key] for key in keys}}


def test_the_gpu_half_of_table_one_comes_from_the_benchmark_where_there_is_one(tmp_path):
    (tmp_path / "lenet").mkdir()
    without = table.make_table(table.released_records(), tmp_path)
    records.write_json(tmp_path / "lenet" / "bench.json", on_gpu())
    text = table.make_table(table.released_records(), tmp_path)
    assert "On a GPU" not in without and text.startswith(without)
    half = text[len(without) :]
    plain_pct = f"{records.read_run(table.RELEASED / 'lenet' / 'run.json')['baselines'][0]['accuracy_pct']:.2f}"
    assert "| 4.7x " in half and "| 1.58 " in half, "what the paper says of its GPU"
    for figure in (plain_pct, "1.62x (1.50", "6.48x", "4.00x", "1.23 "):
        assert figure in half
    assert "Machine: Tiny GPU, driver 570.86, CUDA 12.8, host Model X, 1 thread, engine cuda." in half


@pytest.mark.parametrize(
    "change",
    [{"weights_sha256": "0"}, {"network": "nothing"}, {"measured": 5}, {"thresholds": None}, {"accuracy_pct": "99"}],
)
def test_a_benchmark_of_other_weights_or_a_damaged_one_is_no_part_of_table_one(change, tmp_path):
    (tmp_path / "lenet").mkdir()
    records.write_json(tmp_path / "lenet" / "bench.json", {**on_gpu(), **change})
    with pytest.raises(RecordError, match="bench.json: expected a benchmark of released weights"):
        table.gpu_runs(tmp_path)


def test_a_benchmark_on_a_gpu_at_another_t_says_that_t_was_given(tmp_path):
    (tmp_path / "lenet").mkdir()
    for thresholds, goal in (
        (records.read_run(table.RELEASED / "lenet" / "run.json")["choice"]["thresholds"], "knee"),
        ([0.7], None),
    ):
        records.write_json(tmp_path / "lenet" / "bench.json", {**on_gpu(), "thresholds": thresholds})
        assert table.gpu_runs(tmp_path)[0]["choice"]["goal"] == goal


def test_pages_claim_of_a_gpu_what_a_record_shows(tmp_path, monkeypatch):
    readme = (docs.ROOT / "README.md").read_text(encoding="utf-8")
    is_measured = any(docs.RELEASED.glob("bench-gpu/*/bench.json"))
    assert ("**Not measured.** The speed on a GPU" in readme) is not is_measured
    assert docs.gpu_speed().startswith("Not measured") is not is_measured
    paths = [docs.RELEASED / "bench-gpu" / name / "bench.json" for name in ("lenet", "alexnet-paper")]
    lenet, alexnet = map(records.read_json, paths)
    ms, one = lenet["measured"]["end_to_end_ms"]["mean"], lenet["measured"]["end_to_end_gain"]["value"]
    gains = [
        {
            (row["samples_in"], row["batch_size"]): row["gain_over"]["cuda, plain net"]["value"]
            for row in record["rows"]
            if row["name"] == "cuda, early exit"
        }
        for record in (lenet, alexnet)
    ]
    sentence = " ".join(readme[readme.index("**On a GPU**") :].split("\n\n")[0].split())
    assert f"in {ms:.3f} ms, {one:.1f} times as fast" in sentence
    assert f"on the GPU {gains[0]['device', 65536]:.1f} times as fast" in sentence
    assert f"B-AlexNet gains {max(gains[1].values()):.1f}x at best" in sentence
    rows = [
        {
            "name": f"cuda, {form}",
            "batch_size": 1,
            "samples_in": place,
            "ms_per_sample": {"mean": ms},
            "gain_over": {"cuda, plain net": {"value": 0.75 / ms, "low": 2.5, "high": 3.5}},
        }
        for form, ms in (("plain net", 0.75), ("early exit", 0.25))
        for place in ("host", "device")
    ]
    (tmp_path / "bench-gpu" / "lenet").mkdir(parents=True)
    limits = {"multiply_add_limit_of_gain": 4.6}
    records.write_json(tmp_path / "bench-gpu" / "lenet" / "bench.json", {**on_gpu(), "rows": rows, "limits": limits})
    monkeypatch.setattr(docs, "RELEASED", tmp_path)
    text = docs.gpu_speed()
    assert text.count("| cuda, early exit") == 2 and text.count("0.250") == 2 and "Tiny GPU" in text
    assert len(re.findall(r"gain of early exit +\| 3.00x \(2.50–3.50\)", text)) == 2


def test_the_pages_that_are_released_are_what_the_records_say():
    assert docs.main(["--check"]) == 0


def test_a_stale_block_is_named_written_and_then_accepted(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(docs.BLOCKS, "mine", lambda: "| new |\n")
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("mine", "| old |"))
    assert docs.main([str(page), "--check"]) == 1
    assert "page.md: mine differs" in capsys.readouterr().err and "| old |" in page.read_text()
    assert docs.main([str(page)]) == 0
    assert page.read_text() == PAGE.format("mine", "\n| new |\n")
    assert docs.main([str(page), "--check"]) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (PAGE.format("table-two", ""), "table-two: expected a block of front-table, table-one"),
        ("<!-- generated: matrix -->\n", "matrix: expected <!-- end -->"),
        ("<!-- generated: matrix -->\n" + PAGE.format("matrix", ""), "matrix: expected <!-- end -->"),
        (PAGE.format("inference-speed", ""), "bench/*/bench.json: expected at least one record"),
        (PAGE.format("future-measures", ""), "future.json: expected a record"),
    ],
)
def test_what_cannot_be_written_is_an_error_that_names_the_page(text, problem, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "RELEASED", tmp_path)
    (tmp_path / "page.md").write_text(text)
    assert docs.main([str(tmp_path / "page.md")]) == 2
    message = capsys.readouterr().err
    assert "page.md: " in message and problem in message and message.count("\n") == 1
    assert (tmp_path / "page.md").read_text() == text

"""The scripts that make tables from records, and the pages that these tables stand in."""

import compare
import pytest
import table
from synthetic_run import make_run

import docs
from branchynet import records

PAGE = "# Page\n\n<!-- generated: {} -->\n{}\n<!-- end -->\nmore\n"


@pytest.mark.parametrize("text", ["{}", "[]", "null", "{", '{"schema": 1}'])
@pytest.mark.parametrize("script", [table, compare])
def test_what_is_no_record_is_an_error_in_one_line(script, text, tmp_path, capsys):
    (tmp_path / "run.json").write_text(text)
    path = tmp_path / "run.json" if script is table else tmp_path
    assert script.main([str(path), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and f"{tmp_path}/run.json: " in message


@pytest.mark.parametrize(("script", "name"), [(table, "table.md"), (compare, "comparison.md")])
def test_a_record_becomes_a_table_printed_and_written(script, name, tmp_path, capsys):
    records.write_json(tmp_path / "run.json", make_run())
    assert script.main([str(tmp_path / "run.json" if script is table else tmp_path), "--out", str(tmp_path)]) == 0
    text = (tmp_path / name).read_text()
    assert text in capsys.readouterr().out and "| Ours" in text


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

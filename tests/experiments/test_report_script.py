"""The script that makes reports: of a folder of results, without training anything anew; and of all released runs."""

import importlib.util
import pathlib
import shutil
import sys

import pytest
import table
from tiny_experiment import N_TEST, NETWORK, finished_run, tiny_dataset

from branchynet import datasets, records
from branchynet.datasets import Dataset
from branchynet.experiment.recorded import EXIT_RECORDS, REPORT
from networks import zoo

# Not by its name, which is that of a package of tests, too.
PATH = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "report.py"
SPEC = importlib.util.spec_from_file_location("report_script", PATH)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)
PAIR = [f"{EXIT_RECORDS}.npz", f"{EXIT_RECORDS}.json"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folders of two runs, of which the first has its report."""
    folder = tmp_path_factory.mktemp("results")
    finished_run(folder / "0", seed=0, draws=True)
    finished_run(folder / "1", seed=1)
    return folder


@pytest.fixture
def folder(results, tmp_path, monkeypatch):
    """A copy of a run's folder, on a machine that has the data set."""
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: tiny_dataset())
    return shutil.copytree(results / "0", tmp_path / "run")


def test_a_report_is_made_anew_from_what_the_run_left(folder, capsys):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / REPORT).unlink()
    assert script.main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / REPORT}\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_without_exit_records_the_weights_answer_to_the_same_report(folder, monkeypatch):
    before = (folder / REPORT).read_bytes()
    for name in (REPORT, *PAIR):
        (folder / name).unlink()
    monkeypatch.setitem(zoo.NETWORKS, "tiny", NETWORK)
    assert script.main([str(folder)]) == 0
    assert (folder / REPORT).read_bytes() == before


def other_images(folder, monkeypatch):
    found = tiny_dataset()
    other = Dataset(found.name, found.class_names, found.train, found.train[:N_TEST], found.source)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: other)


def records_of_another_run(folder, monkeypatch):
    for name in PAIR:
        shutil.copy(folder.parents[0] / "other" / name, folder / name)


def damaged_records(folder, monkeypatch):
    (folder / PAIR[0]).write_bytes(b"PK")


def no_record(folder, monkeypatch):
    (folder / "run.json").unlink()


def no_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_images, "expected the test images of the run, got others of mnist"),
        (records_of_another_run, "exit records: expected those of the run"),
        (damaged_records, "exit records: "),
        (no_record, "run.json"),
        (no_extra, "a report needs the package jinja2; pip install"),
    ],
)
def test_what_a_report_cannot_be_made_of_is_told_in_one_line_and_the_old_one_stays(
    spoil, message, folder, results, tmp_path, monkeypatch, capsys
):
    shutil.copytree(results / "1", tmp_path / "other")
    before = (folder / REPORT).read_bytes()
    spoil(folder, monkeypatch)
    assert script.main([str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("report.py: error: ") and message in told and told.count("\n") == 1
    assert (folder / REPORT).read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [([], "expected a folder of results, or --site"), (["--site", "--data-dir="], "expected a path, got ''")],
)
def test_no_folder_is_a_mistake(argv, message, capsys):
    with pytest.raises(SystemExit) as exit_info:
        script.main(argv)
    assert exit_info.value.code == 2 and message in capsys.readouterr().err


def test_the_site_lists_released_runs_those_with_a_report_first(folder, results, tmp_path, monkeypatch, capsys):
    released = tmp_path / "released"
    shutil.copytree(folder, released / "tiny")
    (released / "tiny" / REPORT).unlink()
    (released / "seeds" / "tiny-seed1").mkdir(parents=True)
    shutil.copy(results / "1" / "run.json", released / "seeds" / "tiny-seed1" / "run.json")
    (released / "page").mkdir()
    (released / "page" / "index.html").write_text("")
    for module in (script, table):
        monkeypatch.setattr(module, "RELEASED", released)
    monkeypatch.setattr(zoo, "released_names", lambda: ["tiny"])
    assert script.main(["--site"]) == 0
    assert capsys.readouterr().out == f"{released / 'tiny' / REPORT}\n{released / 'index.html'}\n"
    page = (released / "index.html").read_text(encoding="utf-8")
    targets = ["page/index.html", f"tiny/{REPORT}", "tiny/run.json", "seeds/tiny-seed1/run.json"]
    places = [page.index(f'href="{target}"') for target in targets]
    assert places == sorted(places) and "bench/lenet" not in page, "and what is not there is not linked"
    assert str(tmp_path) not in page
    assert records.read_run(released / "tiny" / "run.json")["name"] == "tiny"

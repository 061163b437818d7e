"""The report of a run as a file: what is escaped, what is refused, which images are in it."""

import dataclasses
import re
import sys

import numpy as np
import pytest
from synthetic_records import make_records
from synthetic_run import PUBLISHED, make_run

from branchynet.errors import ReportError
from branchynet.report.html import check_belongs, site_page, write_report
from branchynet.report.html.images import IN_A_ROW, choose_images, tiles

EVIL = "<script>document.title = 'taken'</script>"


def run_and_records(rng, n_early=1, **changes):
    """A run's record whose sweep is what synthetic exit records give; and these, by measure."""
    run, test = make_run(n_early, **changes), make_records(rng, n_exits=n_early + 1)
    points = [point for point in run["points"] if point["split"] == "test"]
    outcomes = test.evaluate([point["thresholds"] for point in points])
    for point, accuracy, shares in zip(points, outcomes.accuracies, outcomes.exit_shares):
        point.update(accuracy_pct=100 * float(accuracy), exit_pct=(100 * shares).tolist())
    run["exits"] = run["exits"][: n_early + 1]
    return run, {"entropy": test, "max-probability": dataclasses.replace(test, scores=test.scores / 2)}


def images_of(by_measure, rng):
    return rng.integers(0, 256, (len(by_measure["entropy"].labels), 1, 6, 6)).astype(np.uint8)


def written(path, run, by_measure, rng, class_names="abcd"):
    write_report(path, run, PUBLISHED, by_measure, images_of(by_measure, rng), class_names)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("n_early", [1, 2])
def test_the_report_holds_the_figures_and_stays_small(n_early, rng, tmp_path):
    run, by_measure = run_and_records(rng, n_early)
    text = written(tmp_path / "report.html", run, by_measure, rng)
    assert "1.62x (1.50–1.75)" in text and run["command"] in text and len(text) < 2_000_000


def test_names_are_escaped_everywhere(rng, tmp_path):
    run, by_measure = run_and_records(rng, dataset=EVIL, branchy_network=EVIL, command=EVIL)
    text = written(tmp_path / "report.html", run, by_measure, rng, [EVIL, "b", "c", "d"])
    assert EVIL not in text and EVIL not in site_page([(run, {EVIL: EVIL})], [(EVIL, EVIL, EVIL)])
    assert "&lt;script&gt;document.title" in text


def test_no_path_of_the_machine_is_in_it(rng, tmp_path):
    run, by_measure = run_and_records(rng)
    text = written(tmp_path / "report.html", run, by_measure, rng)
    assert str(tmp_path) not in text and not re.search(r"[\"' ](/home|/root|/tmp|/work|/usr)/", text)


def test_exit_records_that_differ_by_one_sample_are_refused(rng):
    run, by_measure = run_and_records(rng)
    test = by_measure["entropy"]
    check_belongs(run, test)
    test.predictions[:, 0] = (test.predictions[:, 0] + 1) % 4
    with pytest.raises(ReportError, match="expected those of the run"):
        check_belongs(run, test)


def test_exit_records_of_another_number_of_exits_are_refused(rng):
    run, _ = run_and_records(rng)
    with pytest.raises(ReportError, match="expected those of 2 exits, got 3"):
        check_belongs(run, make_records(rng, n_exits=3))


@pytest.mark.parametrize("package", ["jinja2", "vl_convert"])
def test_without_a_package_the_error_says_what_to_install(package, rng, tmp_path, monkeypatch):
    from branchynet.report.html import rendering

    rendering.charts.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    run, by_measure = run_and_records(rng)
    with pytest.raises(ReportError, match=r"pip install -e '\.\[report\]'"):
        written(tmp_path / "report.html", run, by_measure, rng)
    assert not (tmp_path / "report.html").exists()


def test_at_the_given_t_the_easiest_hardest_spoilt_and_saved_are_all_there(rng):
    records, thresholds = make_records(rng, n_samples=400, n_exits=3), (0.4, 0.5)
    rows = choose_images(records, thresholds, 120)
    exits, right = records.exits_at(thresholds), records.right
    assert len(rows) == len(set(rows)) <= 120
    for index in range(3):
        here = sorted(np.flatnonzero(exits == index), key=lambda i: records.scores[index, i])
        assert {*here[:IN_A_ROW], *here[-IN_A_ROW:]} <= set(rows)
    for index in range(2):
        for changed in (~right[index] & right[2], right[index] & ~right[2]):
            here = sorted(np.flatnonzero(changed & (exits == index)), key=lambda i: records.scores[index, i])
            assert set(here[:8]) <= set(rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_that_compress_badly_are_fewer(channels, rng, monkeypatch):
    import branchynet.report.html.images as module

    monkeypatch.setattr(module, "_MOST_BYTES", 3000)
    records = make_records(rng)
    images = rng.integers(0, 256, (200, channels, 8, 8)).astype(np.uint8)
    made = tiles(images, records, (0.4,))
    assert 0 < len(made["rows"]) < 200 and len(made["png"]) <= 4000

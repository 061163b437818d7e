"""Reports in real browsers: no request, a silent console, figures as in the record; and the page that lists them.

Skipped where Playwright or a browser is missing; `make page-test` installs and runs all, and prints what was measured.
"""

import numpy as np
import pytest
from browsers import browser, faint, listening, mark_ms, unnamed, unreached, width_of  # noqa: F401  (a fixture)
from synthetic_records import make_records

from branchynet import records
from branchynet.experiment.recorded import REPORT
from branchynet.report import formats
from branchynet.report.html import site_page, write_report
from networks import zoo

NAMES = zoo.released_names()
EVIL = "<script>document.title = 'taken'</script>"


@pytest.fixture(params=NAMES)
def opened(request, browser):  # noqa: F811
    """(a released run's record, its report in a page)"""
    path = zoo.get(request.param).folder / REPORT
    with listening(browser, path) as page:
        page.wait_for_selector("body[data-ready]")
        yield records.read_run(path.with_name("run.json")), page


def test_the_figures_of_three_settings_of_t_are_those_of_the_record(opened):
    run, page = opened
    points = [point for point in run["points"] if point["split"] == "test"]
    for point in (points[0], points[len(points) // 2], points[-1]):
        for n, T in enumerate(point["thresholds"]):
            page.focus(f"#T{n}")
            page.keyboard.press("Control+A")
            page.keyboard.type(repr(T))
        found = [page.text_content(f"#{name}") for name in ("accuracy", "ms", "gain", "paper-ms", "paper-gain")]
        assert found == [
            formats.accuracy(point["accuracy_pct"]),
            formats.ms(point["end_to_end_ms"]),
            formats.gain(point["end_to_end_gain"]),
            formats.ms(point["paper_clock_ms"]),
            formats.gain(point["paper_clock_gain"]),
        ]
        shares = [page.text_content(f"#share{n}") for n in range(len(run["exits"]))]
        assert shares == [f"{share:.2f}" for share in point["exit_pct"]]


def test_it_opens_with_its_figures_and_draws_what_is_below_when_one_comes_there(opened, record_property):
    run, page = opened
    record_property(f"{run['name']}: opened, and drawn what is in sight (ms)", f"{mark_ms(page, 'drawn'):.0f}")
    assert page.text_content("#accuracy") != "" and page.locator("#reliability svg").count() == 0
    for name in ("tradeoff", "reliability", "loss", "epochs"):
        page.locator(f"#{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#{name} svg")


def test_on_paper_all_charts_are_drawn(opened):
    _, page = opened
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("() => document.querySelectorAll('.chart svg').length === 4")


def test_at_first_t_is_the_chosen_one_and_its_timed_figures_are_told(opened):
    run, page = opened
    assert page.text_content("#accuracy") == formats.accuracy(run["measured"]["accuracy_pct"])
    words = page.text_content("#timed")
    assert formats.mean_ms(run["measured"]["end_to_end_ms"]) in words
    assert formats.gain(run["measured"]["end_to_end_gain"]) in words


def test_at_the_ends_of_the_sliders_all_leave_at_the_last_and_at_the_first_exit(opened):
    run, page = opened
    for end, exit_index in (("Home", len(run["exits"]) - 1), ("End", 0)):
        for n in range(len(run["exits"]) - 1):
            page.focus(f"#slide{n}")
            page.keyboard.press(end)
        assert page.text_content(f"#share{exit_index}") == "100.00"
        expected = run["exits"][exit_index]["accuracy_pct"]["test"]
        assert page.text_content("#accuracy") == formats.accuracy(expected)


def test_a_click_on_a_point_sets_t(opened):
    run, page = opened
    page.evaluate("() => set(data.chosen.map(() => 0))")
    page.locator("#tradeoff").scroll_into_view_if_needed()
    page.wait_for_selector("#tradeoff svg")
    page.locator("#tradeoff .mark-line ~ .mark-symbol path").first.click(force=True)
    setting = [float(page.input_value(f"#T{n}")) for n in range(len(run["exits"]) - 1)]
    assert setting in [[float(f"{T:g}") for T in point["thresholds"]] for point in run["points"]]


def draw_all(page):
    page.evaluate("() => Promise.all(charts.map(draw))")


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(opened, width):
    _, page = opened
    draw_all(page)
    assert width_of(page, width) <= width


def test_every_control_is_reached_by_tab_and_has_a_name(opened):
    _, page = opened
    draw_all(page)
    assert unnamed(page) == [] and unreached(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [f"lenet/{REPORT}", "index.html"])
def test_every_word_stands_out_from_what_is_behind_it(browser, path, scheme):  # noqa: F811
    with listening(browser, zoo.RELEASED / path, scheme=scheme) as page:
        if path.endswith(REPORT):
            draw_all(page)
        assert page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
        assert faint(page) == []


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_of_released_runs_is_used_by_keyboard_and_on_a_phone(browser, width):  # noqa: F811
    with listening(browser, zoo.RELEASED / "index.html") as page:
        assert width_of(page, width) <= width
        assert unnamed(page) == [] and unreached(page) == []


def test_reports_are_small_and_are_linked_from_the_page_of_released_runs(browser):  # noqa: F811
    with listening(browser, zoo.RELEASED / "index.html") as page:
        targets = page.evaluate("() => [...document.querySelectorAll('td a')].map(link => link.getAttribute('href'))")
        assert all((zoo.RELEASED / target).exists() for target in targets)
    for name in NAMES:
        assert f"{name}/{REPORT}" in targets
        assert (zoo.get(name).folder / REPORT).stat().st_size <= 2_000_000


def test_a_script_in_a_name_is_not_run(browser, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("branchynet.report.html.run_page.check_belongs", lambda run, test: None)
    run = {**records.read_run(zoo.get("lenet").folder / "run.json"), "dataset": EVIL, "branchy_network": EVIL}
    test = make_records(np.random.default_rng(0))
    test.scores[:] /= 2  # as probabilities they are at most 1
    by_measure, images = (
        dict.fromkeys(("entropy", "max-probability"), test),
        np.zeros((len(test.labels), 1, 4, 4), np.uint8),
    )
    published = {"paper": [], "authors": []}
    write_report(tmp_path / "report.html", run, published, by_measure, images, [EVIL, "b", "c", "d"])
    (tmp_path / "index.html").write_text(site_page([(run, {EVIL: "x"})], []), encoding="utf-8")
    for name in ("report.html", "index.html"):
        with listening(browser, tmp_path / name) as page:
            page.wait_for_selector("body[data-ready]" if name == "report.html" else "table")
            assert page.title() != "taken"

"""The released page in real browsers: it answers as the library does, sends nothing, and every control does its work.

Skipped where Playwright or a browser is missing; `make page-test` installs and runs all, and prints what was measured.
"""

import base64
import json
import pathlib
import re
import zlib

import numpy as np
import page as script
import pytest
from browsers import browser, faint, listening, mark_ms, unnamed, unreached, width_of  # noqa: F401  (a fixture)
from PIL import Image

import networks
from branchynet import run
from branchynet.errors import CompileError
from networks import zoo

PAGE = zoo.RELEASED / "page" / "index.html"
NAMES = script.NETWORKS
MB = 1e6
# What the page's model says of all its images, at the thresholds of the page.
ANSWERS = """() => { const found = { labels: [], exits: [], scores: [] };
    for (let first = 0; first < net.labels.length; first += 100) {
        const some = net.early.answer(imagesOf(net, first, 100), net.thresholds);
        for (const key in found) found[key].push(...some[key]);
    }
    return found; }"""
RACED = "() => $('race-result').textContent.includes('times as fast')"


def described():
    """{name: what the page knows of a network}"""
    text = PAGE.read_text(encoding="utf-8")

    def read(name):
        return json.loads(re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL).group(1))

    return {network["name"]: {**network, **read(network["name"])} for network in read("networks")}


def unpacked(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def added_up(images):
    """The images whose differences these are, written in NumPy."""
    if images.shape[1] == 1:
        return images
    images = np.cumsum(np.cumsum(images, axis=2, dtype=np.uint8), axis=3, dtype=np.uint8)
    images[:, [0, 2]] += images[:, [1]]
    return images


def images_of(network):
    return added_up(unpacked(network["images"]).reshape(-1, *network["shape"]))


def answers_of(network, thresholds):
    """What the library says of the page's images."""
    trained = networks.load(network["name"])
    return run(trained.net, trained.transform(images_of(network)), thresholds, batch_size=100)


@pytest.fixture
def opened(browser):  # noqa: F811
    """The page, ready."""
    with listening(browser, PAGE) as page:
        page.wait_for_selector("body[data-ready=lenet]")
        yield page


def choose(page, name):
    page.select_option("#network", index=NAMES.index(name))
    page.wait_for_selector(f"body[data-ready={name}]")


@pytest.mark.parametrize("name", NAMES)
def test_every_test_image_is_answered_as_in_python(name, opened, record_property):
    choose(opened, name)
    network = described()[name]
    expected = answers_of(network, network["thresholds"])
    found = opened.evaluate(ANSWERS)
    differ = (expected.labels != found["labels"]) | (expected.exits != found["exits"])
    record_property("answers that differ from Python's", f"{differ.sum()} of {len(differ)}")
    assert not differ.any()
    np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-4)


def test_the_first_answer_is_there_when_the_page_is(opened, record_property):
    assert opened.get_attribute("#answer", "data-exit") == "0"
    record_property("first answer after opening (ms)", f"{mark_ms(opened, 'answer'):.0f}")
    us = opened.evaluate("() => [0, 1, 2, 3, 4].map(() => everyExit(current.pixels).found[0].us)")
    record_property("LeNet to exit 1 (ms)", f"{sorted(us)[2] / 1000:.4f}")
    assert min(us) > 0


def draw_by_mouse(page, x, top, bottom):
    page.mouse.move(x, top)
    page.mouse.down()
    page.mouse.move(x, bottom, steps=10)
    page.mouse.up()


def draw_by_keys(page, x, top, bottom):
    page.focus("#draw")
    for key in [*["ArrowUp"] * 9, " ", *["ArrowDown"] * 18, " "]:
        page.keyboard.press(key)


@pytest.mark.parametrize("draw", [draw_by_mouse, draw_by_keys])
def test_a_drawn_one_takes_the_place_of_the_test_image_and_is_a_one(opened, draw):
    opened.evaluate("() => pick(true)")
    box = opened.locator("#draw").bounding_box()
    draw(opened, box["x"] + box["width"] / 2, box["y"] + 50, box["y"] + 230)
    opened.wait_for_function("() => current && current.truth === undefined")
    assert opened.get_attribute("#answer", "data-label") == "1"
    assert opened.locator(".exit").count() == 2
    opened.click("#clear")
    assert opened.text_content("#answer") == "Draw something." and opened.locator(".exit").count() == 0


def test_clear_leaves_nothing_of_a_test_image(opened):
    opened.evaluate("() => pick(true)")
    assert opened.text_content("#truth").startswith("a test image of")
    opened.click("#clear")
    assert [opened.text_content(part) for part in ("#truth", "#exits", "#path")] == ["", "", ""]
    assert not opened.evaluate(
        "() => [...seen.getContext('2d').getImageData(0, 0, 28, 28).data].some((v, i) => v && i % 4 < 3)"
    )


def test_a_finger_draws_where_it_would_scroll(browser):  # noqa: F811
    if browser.name != "chromium":
        pytest.skip("touches are sent by Chromium's own protocol")
    with listening(browser, PAGE, has_touch=True, viewport={"width": 360, "height": 800}) as page:
        page.wait_for_selector("body[data-ready=lenet]")
        page.locator("#draw").scroll_into_view_if_needed()
        box, session = page.locator("#draw").bounding_box(), page.context.new_cdp_session(page)
        x = box["x"] + box["width"] / 2
        for kind, y in [("touchStart", 50), *[("touchMove", y) for y in range(60, 231, 10)]]:
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": box["y"] + y}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_function("() => current.truth === undefined")
        assert page.get_attribute("#answer", "data-label") == "1"


@pytest.mark.parametrize("name", NAMES)
def test_a_hard_image_goes_on_until_t_is_high(opened, name):
    choose(opened, name)
    opened.click("#hard")
    opened.wait_for_function("() => Number($('answer').dataset.exit) > 0")
    opened.focus("#T0")
    opened.keyboard.press("End")
    assert opened.get_attribute("#answer", "data-exit") == "0"
    assert opened.locator(".exit.unused").count() == described()[name]["n_exits"] - 1
    assert "leaves at exit 1" in opened.get_attribute("#path", "aria-label")


@pytest.mark.parametrize("name", NAMES)
def test_the_race_counts_right_answers_and_shares_as_python_does(name, opened, record_property):
    choose(opened, name)
    opened.click("#race")
    # What is done meanwhile takes no part in it.
    opened.evaluate("() => { pick(true); const T = $('T0'); T.value = T.max; T.dispatchEvent(new Event('input')); }")
    opened.wait_for_function(RACED, timeout=240_000)
    network = described()[name]
    early, plain = (answers_of(network, thresholds) for thresholds in (network["thresholds"], 0.0))
    for kind, expected in (("early", early), ("plain", plain)):
        n_right = int((expected.labels == unpacked(network["labels"])).sum())
        assert opened.text_content(f"#a-{kind}").startswith(f"{n_right} ({n_right / 10:.1f} %)")
    told = opened.text_content("#race-result")
    for exit_index in range(network["n_exits"]):
        assert f"{100 * (early.exits == exit_index).mean():.1f} % left at exit {exit_index + 1}" in told
    record_property("the race, plain over early exits", re.search(r"([\d.]+) times as fast", told).group(1) + "x")


def test_the_network_chosen_last_is_the_one_that_answers(opened):
    opened.click("#race")
    opened.evaluate("() => { choose(1); choose(0); }")
    opened.wait_for_function("() => loaded[1] && loaded[1].then(() => true)")
    assert opened.evaluate("() => net.info.name") == "lenet"
    choose(opened, "alexnet-paper")
    opened.wait_for_function("() => !$('race').disabled")
    assert opened.text_content("#race-result") == "" == opened.text_content("#a-plain")


def give_by_field(page, path):
    page.set_input_files("#file", str(path))


def drop(page, path):
    """As if the file were dragged onto the page."""
    page.evaluate(
        """([name, text]) => { const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
        const how = { dataTransfer: data, bubbles: true, cancelable: true };
        document.body.dispatchEvent(new DragEvent("drop", how)); }""",
        [path.name, base64.b64encode(path.read_bytes()).decode("ascii")],
    )


@pytest.mark.parametrize("give", [give_by_field, drop])
def test_a_picture_of_ones_own_is_answered_and_what_is_none_is_told(opened, tmp_path, give):
    choose(opened, "alexnet-paper")
    picture, text = tmp_path / "sky.png", tmp_path / "text.png"
    Image.new("RGB", (100, 60), (80, 120, 200)).save(picture)
    text.write_text("no picture")
    give(opened, picture)
    opened.wait_for_function("() => current.truth === undefined")
    seen = opened.evaluate("() => [...current.pixels]")
    assert seen == [80] * 1024 + [120] * 1024 + [200] * 1024
    assert opened.locator(".exit").count() == 3
    give(opened, text)
    opened.wait_for_function("() => $('answer').textContent.includes('text.png')")
    assert opened.text_content("#answer").startswith("text.png: expected a picture that this browser reads")


@pytest.mark.parametrize("width", [320, 360, 1100])
def test_nothing_is_wider_than_the_window(opened, width):
    assert width_of(opened, width) <= width


def test_every_control_is_reached_by_tab_and_has_a_name(opened):
    assert unnamed(opened) == [] and unreached(opened) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_what_is_behind_it(browser, scheme):  # noqa: F811
    with listening(browser, PAGE, scheme=scheme) as page:
        page.wait_for_selector("body[data-ready=lenet]")
        assert page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
        assert faint(page) == []


def test_the_page_holds_what_was_described():
    text = script.page([{"name": name, "title": "</script><b>", "packed": {"x": 1}} for name in "abc"])
    assert '"name": "a"' in text and "</script><b>" not in text and "__" not in text
    places = [text.index(words) for words in ('id="networks"', 'id="a"', "choose(0)", 'id="b"', 'id="c"')]
    assert places == sorted(places)


@pytest.mark.parametrize("channels", [1, 3])
def test_differences_add_up_to_the_images(channels, rng):
    images = rng.integers(0, 256, (3, channels, 5, 4)).astype(np.uint8)
    np.testing.assert_array_equal(added_up(script.differences(images)), images)


def test_lines_of_weights_are_found_among_others_in_runs(rng):
    among = rng.normal(size=(9, 4)).astype(np.float32)
    among[7] = among[2]
    rows = [0, 1, 2, 6, 7, 8, 2, 3]
    runs = script.places(among[rows], among)
    assert runs == [[0, 3], [6, 3], [2, 2]]
    with pytest.raises(KeyError):
        script.places(among[:1] + 1, among)


def test_without_the_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompileError, match="ziglang"):
        script.web_assembly(None, plain=False)


def test_the_page_is_of_the_released_networks_and_small():
    text, found = PAGE.read_text(encoding="utf-8"), described()
    assert pathlib.Path(PAGE).stat().st_size <= 6 * MB
    others = sum(len(json.dumps(network)) for name, network in found.items() if name != "lenet")
    assert len(text) - others <= 1.5 * MB, "with LeNet alone"
    assert str(pathlib.Path.home()) not in text and str(zoo.RELEASED.parents[2]) not in text
    for name, network in found.items():
        assert network["thresholds"] == pytest.approx(list(networks.load(name).thresholds))
        assert len(images_of(network)) == script.N_IMAGES

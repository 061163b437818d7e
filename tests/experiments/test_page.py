"""The released page in a real browser: it answers as the library does, sends nothing, and every control does its work.

Skipped where Playwright or Chromium is missing; `make page-test` installs and runs all.
"""

import base64
import json
import pathlib
import re

import numpy as np
import page as script
import pytest
from browsers import browser, listening  # noqa: F401  (a fixture)
from PIL import Image

import networks
from branchynet import run
from branchynet.errors import CompileError
from networks import zoo

PAGE = zoo.RELEASED / "page" / "index.html"
NAMES = list(script.N_IMAGES)
# What `answerAll` gives at the thresholds of the page, as plain lists.
ANSWERS = """() => { net.early.setThresholds(net.thresholds); const found = answerAll(net.early);
    return [[...found.labels], [...found.exits], [...found.scores]]; }"""


def described():
    """{name: what the page knows of a network}"""
    text = re.search(r'id="data">(.*?)</script>', PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
    return {network["name"]: network for network in json.loads(text)}


def images_of(network):
    pixels = np.frombuffer(base64.b64decode(network["images"]), np.uint8)
    return pixels.reshape(-1, *network["shape"])


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
def test_every_test_image_is_answered_as_in_python(opened, name):
    choose(opened, name)
    trained, network = networks.load(name), described()[name]
    expected = run(trained.net, trained.transform(images_of(network)), network["thresholds"], batch_size=100)
    labels, exits, scores = opened.evaluate(ANSWERS)
    assert labels == expected.labels.tolist() and exits == expected.exits.tolist()
    np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


def test_a_drawn_one_is_a_one(opened):
    box = opened.locator("#draw").bounding_box()
    x = box["x"] + box["width"] / 2
    opened.mouse.move(x, box["y"] + 50)
    opened.mouse.down()
    opened.mouse.move(x, box["y"] + 230, steps=10)
    opened.mouse.up()
    opened.wait_for_selector("#answer[data-label]")
    assert opened.get_attribute("#answer", "data-label") == "1"
    assert opened.locator(".exit").count() == 2


def test_the_pen_can_be_moved_by_keys(opened):
    opened.focus("#draw")
    for key in [*["ArrowUp"] * 9, " ", *["ArrowDown"] * 18]:
        opened.keyboard.press(key)
    opened.wait_for_selector("#answer[data-label]")
    assert opened.get_attribute("#answer", "data-label") == "1"


@pytest.mark.parametrize("name", NAMES)
def test_a_hard_image_goes_on_until_t_is_high(opened, name):
    choose(opened, name)
    opened.click("#hard")
    opened.wait_for_selector("#answer[data-exit]")
    assert int(opened.get_attribute("#answer", "data-exit")) > 0
    opened.evaluate("() => { const T = $('T0'); T.value = T.max; T.dispatchEvent(new Event('input')); }")
    assert opened.get_attribute("#answer", "data-exit") == "0"
    assert opened.locator(".exit.unused").count() == described()[name]["n_exits"] - 1


def test_the_race_counts_right_answers_and_shares_as_python_does(opened):
    opened.click("#race")
    opened.wait_for_function("() => $('race-result').textContent.includes('times as fast')")
    network, trained = described()["lenet"], networks.load("lenet")
    expected = run(trained.net, trained.transform(images_of(network)), network["thresholds"], batch_size=100)
    n_right = int((expected.labels == np.frombuffer(base64.b64decode(network["labels"]), np.uint8)).sum())
    assert opened.text_content("#a-early") == f"{n_right} of 1000"
    share = 100 * float((expected.exits == 0).mean())
    assert f"{share:.1f} % left at exit 1" in opened.text_content("#race-result")


def test_a_picture_of_ones_own_is_answered_and_what_is_none_is_told(opened, tmp_path):
    choose(opened, "alexnet-paper")
    picture, text = tmp_path / "sky.png", tmp_path / "text.png"
    Image.new("RGB", (100, 60), (80, 120, 200)).save(picture)
    text.write_text("no picture")
    opened.set_input_files("#file", str(picture))
    opened.wait_for_selector("#answer[data-label]")
    assert opened.locator(".exit").count() == 3
    opened.set_input_files("#file", str(text))
    opened.wait_for_function("() => $('answer').textContent.includes('text.png')")
    assert opened.text_content("#answer").startswith("text.png: expected a picture that this browser reads")


@pytest.mark.parametrize("width", [360, 1100])
def test_nothing_is_wider_than_the_window(opened, width):
    opened.set_viewport_size({"width": width, "height": 800})
    assert opened.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_page_holds_what_was_described():
    text = script.page([{"name": "a", "title": "</script><b>"}])
    assert '"name": "a"' in text and "</script><b>" not in text and "__DATA__" not in text


def test_without_the_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompileError, match="ziglang"):
        script.web_assembly(None, plain=False)


def test_the_page_is_of_the_released_networks():
    assert pathlib.Path(PAGE).stat().st_size < 15e6
    for name, network in described().items():
        assert network["thresholds"] == pytest.approx(list(networks.load(name).thresholds))
        assert len(images_of(network)) == script.N_IMAGES[name]

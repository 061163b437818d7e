"""Browsers for the tests of pages, by Playwright; a page that must ask for nothing and stay silent; what all need.

A test that takes `browser` runs in Chromium and in Firefox, and is skipped, visibly, where one of them is missing.
"""

import contextlib
import re
import shutil

import pytest

COMMANDS = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "firefox": ("firefox-esr", "firefox")}
# Firefox as it is installed, which Playwright speaks WebDriver BiDi with; its colour scheme is a preference.
SCHEME_OF_FIREFOX = "layout.css.prefers-color-scheme.content-override"
CONTROLS = "a[href], button, input, select, summary, [tabindex='0']"
# Elements whose text is nearer to its background, by the ratio of luminances, than WCAG 2.2 (AA) asks.
FAINT = r"""() => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = rgb => { const [r, g, b] = rgb.map(v => linear(v / 255)); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { const own = parse(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own : over(own, e.parentElement ? behind(e.parentElement) : [255, 255, 255]); };
  const found = [];
  for (const e of document.body.querySelectorAll("*")) {
    const words = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join("");
    const style = getComputedStyle(e), seen = e.getClientRects().length && style.visibility !== "hidden";
    if (!words || !seen || e.closest("script, style, noscript, option, :disabled")) continue;
    const ink = parse(e instanceof SVGElement ? style.fill : style.color), paper = behind(e);
    for (let up = e; up; up = up.parentElement) ink[3] *= getComputedStyle(up).opacity;
    const [low, high] = [light(over(ink, paper)), light(paper)].sort((a, b) => a - b);
    const ratio = (high + .05) / (low + .05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) found.push(`${words.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


class Browser:
    """One kind of browser, started when a page of a colour scheme is first asked for."""

    def __init__(self, playwright, name, command):
        self.playwright, self.name, self.command = playwright, name, command
        self._started = {}

    def new_page(self, scheme="light", **options):
        """A page that finds the user wants "light" or "dark"."""
        if self.name == "chromium":
            return self._start("any", self.playwright.chromium, args=["--no-sandbox"]).new_page(
                color_scheme=scheme, **options
            )
        wanted = {SCHEME_OF_FIREFOX: 0 if scheme == "dark" else 1}
        kind = self.playwright.firefox
        return self._start(scheme, kind, channel="moz-firefox", firefox_user_prefs=wanted).new_page(**options)

    def _start(self, key, kind, **options):
        if key not in self._started:
            self._started[key] = kind.launch(executable_path=self.command, **options)
        return self._started[key]

    def close(self):
        """Ends what was started."""
        for started in self._started.values():
            started.close()


@pytest.fixture(scope="module", params=list(COMMANDS))
def browser(request):
    """Each browser in turn, headless."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make page-test")
    command = next(filter(None, map(shutil.which, COMMANDS[request.param])), None)
    if command is None:
        pytest.skip(f"{request.param} is not installed: make page-test")
    with api.sync_playwright() as playwright:
        made = Browser(playwright, request.param, command)
        yield made
        made.close()


@contextlib.contextmanager
def listening(browser, path, **options):
    """A file in a page; afterwards it must have asked for nothing but itself, and have said nothing on the console."""
    page = browser.new_page(**{"viewport": {"width": 1100, "height": 1100}, **options})
    requests, words = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: words.append(message.text))
    page.on("pageerror", lambda error: words.append(str(error)))
    page.goto(path.as_uri())
    yield page
    page.close()
    asked = [url for url in requests if not url.startswith(("data:", "blob:", path.as_uri()))]
    assert (asked, words) == ([], [])


def unnamed(page):
    """What a screen reader would tell without a name: controls, pictures and fields."""
    told = page.locator("body").aria_snapshot().splitlines()
    kinds = "button|link|combobox|slider|spinbutton|textbox|progressbar|img|application|group|region|document"
    return [line for line in told if re.match(rf"\s*- ({kinds})(:|$)", line)]


def unreached(page):
    """The controls in sight that no press of Tab leads to."""
    page.evaluate(
        """kinds => { const all = [...document.querySelectorAll(kinds)];
        window.wanted = all.filter(e => e.getClientRects().length && !e.disabled);
        document.activeElement.blur(); }""",
        CONTROLS,
    )
    n = page.evaluate("() => wanted.length")
    reached = set()
    for _ in range(n + 3):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => wanted.indexOf(document.activeElement)"))
    missed = sorted(set(range(n)) - reached)
    return page.evaluate("missed => missed.map(i => wanted[i].outerHTML.slice(0, 80))", missed)


def faint(page):
    """Text that stands out too little from what is behind it."""
    return page.evaluate(FAINT)


def width_of(page, width):
    """How wide the page is in a window of that width, in CSS pixels."""
    page.set_viewport_size({"width": width, "height": 800})
    return page.evaluate("() => document.documentElement.scrollWidth")


def mark_ms(page, name):
    """Milliseconds from opening the page to a mark that it set in the browser's own record."""
    return page.evaluate("name => performance.getEntriesByName(name)[0].startTime", name)

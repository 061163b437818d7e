"""A browser for the tests of pages: Chromium by Playwright; and a page that must ask for nothing and stay silent."""

import contextlib
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; skipped, visibly, where it or Playwright is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make page-test")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: make page-test")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@contextlib.contextmanager
def listening(browser, path):
    """A file in a page; afterwards it must have asked for nothing but itself, and have said nothing on the console."""
    page = browser.new_page(viewport={"width": 1100, "height": 1100})
    requests, words = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: words.append(message.text))
    page.on("pageerror", lambda error: words.append(str(error)))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()] and words == []

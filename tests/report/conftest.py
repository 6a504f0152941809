"""A browser for the tests that need one, or one line that says how to bring it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.report.example import document
from tools.report.page import render

NAMES = ("chromium", "chromium-browser", "google-chrome")
ADVICE = "browser tests left out: pip install -r requirements-dev.txt; apt-get install -y chromium"


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, driven by Playwright."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip(ADVICE)
    if not found:
        pytest.skip(ADVICE)
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def example(tmp_path_factory) -> Path:
    """A page of two runs, on disk."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(document(runs=2)), encoding="utf-8")
    return path


@pytest.fixture
def watched(browser):
    """Opens pages, and fails where one says anything on its console or asks for an address."""
    said, asked, contexts = [], [], []

    def _open(path, **more):
        context = browser.new_context(accept_downloads=True, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("#record table")
        return page

    yield _open
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith(("file:", "blob:")) for url in asked), asked
    assert sum(url.startswith("file:") for url in asked) == len(contexts)

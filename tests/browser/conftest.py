"""One headless Chromium for all tests here, and a page of its own for each of them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

CHROMIUM = shutil.which("chromium")
Opened = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page; the test fails on an error in a script, and on a request to anywhere but a file and loopback."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.set_default_timeout(60_000)  # on a machine that is busy with other tests
    wrong: list[str] = []
    made.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    made.on("pageerror", lambda error: wrong.append(str(error)))

    def refuse(route: Route) -> None:
        wrong.append(f"asked for {route.request.url}")
        route.abort()

    made.route(lambda url: not url.startswith(("file:", "http://127.0.0.1", "data:")), refuse)
    yield made
    context.close()
    assert wrong == []


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Opened:
    """Opens the text of a page, as a file and at an address after "#"."""

    def open_page(html: str, view: str = "", **viewport: int) -> Page:
        file = tmp_path / "report.html"
        file.write_text(html, encoding="utf-8")
        if viewport:
            page.set_viewport_size({"width": viewport["width"], "height": viewport.get("height", 844)})
        page.goto(f"{file.as_uri()}{view}")
        return page

    return open_page

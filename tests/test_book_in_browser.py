"""The rendered book as a reader sees it: every page opened from disk in headless Chromium, wide and narrow.

Skipped, with the reason, where there is no Chromium or no built book.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import sync_playwright

BOOK = Path(__file__).parent.parent / "_build" / "html"
START = Path("index.html")
# The start page of the folder only leads on to that of the book.
FOUND = {path.relative_to(BOOK) for path in BOOK.rglob("*.html") if "_static" not in path.parts}
PAGES = sorted(FOUND - {START})
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
READY = "() => window.MathJax?.startup?.promise ? MathJax.startup.promise.then(() => true) : true"
LOOK = """() => ({
    title: document.title,
    equations: document.querySelectorAll('.math').length,
    typeset: document.querySelectorAll('.math mjx-container').length,
    errors: [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent),
    links: [...document.links].map(a => a.href),
    images: [...document.images].map(i => ({src: i.src, width: i.naturalWidth, alt: i.alt, shown: i.offsetWidth > 0})),
})"""
WIDEST = """() => {
    const limit = document.documentElement.clientWidth;
    const over = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > limit + 1);
    return {width: document.scrollingElement.scrollWidth, over: over.slice(0, 5).map(e => e.outerHTML.slice(0, 120))};
}"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install Debian's chromium"),
    pytest.mark.skipif(not PAGES, reason="no book in _build/html; run `make book` first"),
]


@dataclass
class Visit:
    """What a page did while it was open."""

    complaints: list[str]
    requests: list[str]
    seen: dict
    narrow: dict


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module", params=PAGES, ids=str)
def visit(browser, request) -> Visit:
    """One page, opened wide and then narrowed."""
    page = browser.new_page(viewport=DESKTOP)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda failed: complaints.append(f"{failed.url}: {failed.failure}"))
    page.on("request", lambda made: requests.append(made.url))
    page.goto((BOOK / request.param).as_uri(), wait_until="load")
    page.wait_for_function(READY)
    seen = page.evaluate(LOOK)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(200)
    yield Visit(complaints, requests, seen, page.evaluate(WIDEST))
    page.close()


def test_it_opens_without_an_error(visit):
    assert visit.seen["title"]
    assert visit.complaints == []


def test_it_asks_nothing_of_the_network(visit):
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_every_equation_is_typeset(visit):
    assert visit.seen["typeset"] == visit.seen["equations"]
    assert visit.seen["errors"] == []


def test_every_image_is_there_and_described(visit):
    assert [image["src"] for image in visit.seen["images"] if not image["width"]] == []
    assert [image["src"] for image in visit.seen["images"] if not image["alt"].strip()] == []


def test_every_link_within_the_book_leads_to_a_file(visit):
    paths = {unquote(urlsplit(link).path) for link in visit.seen["links"] if link.startswith("file:")}
    assert sorted(path for path in paths if not Path(path).exists()) == []


def test_a_phone_shows_it_without_sideways_scrolling(visit):
    assert visit.narrow["width"] <= PHONE["width"], visit.narrow["over"]


def test_the_folder_opens_on_the_start_page(browser):
    page = browser.new_page()
    page.goto((BOOK / START).as_uri(), wait_until="commit")
    page.wait_for_url("**/book/index.html", wait_until="load")
    assert "AVSS" in page.title()
    page.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_figures_suit_the_mode(browser, mode):
    page = browser.new_page(viewport=DESKTOP)
    page.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')")
    shown = []
    for path in PAGES:
        page.goto((BOOK / path).as_uri(), wait_until="load")
        shown += [image["src"] for image in page.evaluate(LOOK)["images"] if image["shown"]]
    page.close()
    assert shown
    assert [source for source in shown if f".{mode}." not in source] == []

"""The rendered book as a reader sees it: every page opened from disk in headless Chromium, wide and narrow, light and
dark.

Skipped, with the reason, where there is no Chromium or no built book.
"""

import functools
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

BOOK = Path(__file__).parent.parent / "_build" / "html"
START = Path("index.html")
# The start page of the folder only leads on to that of the book.
FOUND = {path.relative_to(BOOK) for path in BOOK.rglob("*.html") if "_static" not in path.parts}
PAGES = sorted(FOUND - {START})
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# Milliseconds, for a machine that does other things besides.
PATIENCE = 120_000
READY = "() => window.MathJax?.startup?.promise ? MathJax.startup.promise.then(() => true) : true"
LOOK = """() => ({
    title: document.title,
    equations: document.querySelectorAll('.math').length,
    typeset: document.querySelectorAll('.math mjx-container').length,
    errors: [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent),
    links: [...document.links].map(a => a.href),
    images: [...document.images].map(i => ({src: i.src, width: i.naturalWidth, alt: i.alt})),
})"""
# What a click on the theme's switch leads to.
SWITCH = """mode => {
    document.documentElement.dataset.mode = document.documentElement.dataset.theme = mode;
    return [...document.images].filter(i => i.offsetWidth > 0).map(i => i.src);
}"""
WIDEST = """() => {
    const limit = document.documentElement.clientWidth;
    const over = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > limit + 1);
    return {width: document.scrollingElement.scrollWidth, over: over.slice(0, 5).map(e => e.outerHTML.slice(0, 120))};
}"""
UNFOLD = "document.querySelectorAll('details').forEach(part => part.open = true)"
# The columns of the tables that reach beyond the edge of the page, or of the box that they scroll in.
CUT = """() => {
    const limit = document.documentElement.clientWidth;
    const tables = [...document.querySelectorAll('.bd-article table')];
    const wide = t => t.offsetWidth > t.parentElement.clientWidth + 1 || t.getBoundingClientRect().right > limit;
    return tables.filter(wide).map(t => [...t.rows[0].cells].map(cell => cell.innerText).join(' | '));
}"""
# The displayed equations that are wider than their page.
WIDE = """() => [...document.querySelectorAll('div.math mjx-container')]
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 80))"""
FOUND_BY_SEARCH = "[...document.querySelectorAll('#search-results li a')].map(a => a.href)"
AXE = Axe()
# Typeset mathematics is many thousand elements of one colour.
LOOKED_AT = {"exclude": [["mjx-container"]]}
# Without preload it does not ask for style sheets, which pages on a disk may not read.
# What is printed of a sheet of A4.
PAPER = {"width": 718, "height": 1000}
LOST = """() => {
    const article = document.querySelector('.bd-article') ?? document.body;
    const right = article.getBoundingClientRect().right + 1;
    return [...article.querySelectorAll('img, pre, table, mjx-container')].filter(e => {
        if (!e.getClientRects().length) return false;
        const place = e.getBoundingClientRect();
        return place.right > right || (e.tagName === 'IMG' && place.height > innerHeight)
            || (e.tagName === 'PRE' && e.scrollWidth > e.clientWidth + 1);
    }).map(e => `${e.tagName} ${(e.alt || e.textContent).trim().slice(0, 60)}`);
}"""
OPTIONS = {"resultTypes": ["violations"], "preload": False}
# The mode changes colours alone.
RULES = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}

pytestmark = [
    # Minutes, where a book has been built.
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install Debian's chromium"),
    pytest.mark.skipif(not PAGES, reason="no book in _build/html; run `make book` first"),
]


@dataclass
class Visit:
    """What a page did while it was open, and what it showed; `shown` and `faults` by mode.

    narrow: the width of the page on a phone. cut: the tables that do not fit, on a phone and on a desktop. wide: the
    equations that do not fit on a phone. lost: what a sheet of paper cuts off.
    """

    complaints: list[str]
    requests: list[str]
    seen: dict
    shown: dict[str, list[str]]
    faults: dict[str, list[str]]
    narrow: dict
    cut: dict[str, list[str]]
    wide: list[str]
    lost: list[str]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@contextmanager
def opened(browser, path: Path, query: str = ""):
    """A page, the errors that it complains of and the requests that it makes."""
    page = browser.new_page(viewport=DESKTOP, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda failed: complaints.append(f"{failed.url}: {failed.failure}"))
    page.on("request", lambda made: requests.append(made.url))
    page.goto((BOOK / path).as_uri() + query, wait_until="load")
    page.wait_for_function(READY)
    yield page, complaints, requests
    page.close()


def faults(page, mode: str) -> list[str]:
    """The serious faults of accessibility, each with the first elements that have it."""
    violations = AXE.run(page, LOOKED_AT, OPTIONS | RULES[mode]).response["violations"]
    return [
        f"{fault['id']}: {' | '.join(node['html'][:160] for node in fault['nodes'][:5])}"
        for fault in violations
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="module", params=PAGES, ids=str)
def visit(browser, request) -> Visit:
    """One page, opened wide, looked at in both modes, and then narrowed."""
    with opened(browser, request.param) as (page, complaints, requests):
        seen, shown, wrong = page.evaluate(LOOK), {}, {}
        for mode in RULES:
            shown[mode] = page.evaluate(SWITCH, mode)
            wrong[mode] = faults(page, mode)
        page.emulate_media(media="print")
        page.set_viewport_size(PAPER)
        page.wait_for_timeout(100)
        lost = page.evaluate(LOST)
        page.emulate_media(media="screen")
        page.evaluate(UNFOLD)
        cut = {}
        for screen, size in {"desktop": DESKTOP, "phone": PHONE}.items():
            page.set_viewport_size(size)
            page.wait_for_timeout(200)
            cut[screen] = page.evaluate(CUT)
        narrow, wide = page.evaluate(WIDEST), page.evaluate(WIDE)
        yield Visit(complaints, requests, seen, shown, wrong, narrow, cut, wide, lost)


@functools.cache
def anchors(page: Path) -> set[str]:
    return set(re.findall(r"""\sid=["']([^"']+)["']""", page.read_text(encoding="utf-8")))


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


def test_every_link_within_the_book_leads_to_a_file_and_a_place_in_it(visit):
    lost = set()
    for link in visit.seen["links"]:
        parts = urlsplit(link)
        if parts.scheme != "file":
            continue
        path, place = Path(unquote(parts.path)), unquote(parts.fragment)
        if not path.is_file() or (place and place not in anchors(path)):
            lost.add(link)
    assert sorted(lost) == []


def test_figures_suit_the_mode(visit):
    for mode, sources in visit.shown.items():
        assert [source for source in sources if f".{mode}." not in source] == []


def test_readers_who_cannot_see_or_point_can_use_it_in_either_mode(visit):
    assert visit.faults == {"light": [], "dark": []}


def test_a_phone_shows_it_without_sideways_scrolling(visit):
    assert visit.narrow["width"] <= PHONE["width"], visit.narrow["over"]


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_all_columns_of_every_table_are_shown(visit, screen):
    assert visit.cut[screen] == []


def test_every_equation_fits_on_a_phone(visit):
    assert visit.wide == []


def test_paper_cuts_nothing_off(visit):
    assert visit.lost == []


def test_the_whole_book_has_less_than_forty_megabytes(browser):
    assert sum(path.stat().st_size for path in BOOK.rglob("*") if path.is_file()) < 40_000_000


def test_the_folder_opens_on_the_start_page(browser):
    page = browser.new_page()
    page.goto((BOOK / START).as_uri(), wait_until="commit")
    page.wait_for_url("**/book/index.html", wait_until="load", timeout=PATIENCE)
    assert "AVSS" in page.title()
    page.close()


def test_search_finds_the_pages_on_sparsity(browser):
    with opened(browser, Path("search.html"), "?q=sparsity") as (page, complaints, requests):
        page.wait_for_function(f"() => {FOUND_BY_SEARCH}.length > 0")
        # Every result is listed once the summary says how many there are.
        page.wait_for_function("() => /\\d/.test(document.querySelector('.search-summary').textContent)")
        pages = {Path(unquote(urlsplit(link).path)).stem for link in page.evaluate(FOUND_BY_SEARCH)}
        assert {"sparsity", "glossary"} <= pages
        assert complaints == []
        assert [url for url in requests if not url.startswith("file:")] == []


FRONT = Path("book/index.html")
# The lowest edges of the verdict and of the drawing that is shown.
EDGES = """() => {
    const low = e => e.getBoundingClientRect().bottom;
    const verdict = [...document.querySelectorAll('.caveats ~ p')].map(low);
    const drawing = [...document.querySelectorAll('.result-figure img')].filter(i => i.offsetWidth > 0)[0];
    return {verdict: Math.max(...verdict), drawing: low(drawing)};
}"""


def test_the_first_screen_holds_verdict_and_figure(browser):
    with opened(browser, FRONT) as (page, *_):
        page.set_viewport_size({"width": 1280, "height": 800})
        edges = page.evaluate(EDGES)
        assert max(edges.values()) <= 800, edges


ROWS = [page for page in PAGES if page.parent.name == "rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda page: page.stem)
def test_the_page_of_a_row_takes_two_screens(browser, row):
    with opened(browser, row) as (page, *_):
        page.set_viewport_size({"width": 1280, "height": 800})
        assert page.evaluate("document.querySelector('article').offsetHeight") <= 2 * 800


# Numbers whose mark of punctuation stands on the next line.
LOOSE = """() => {
    const below = (number, text) => {
        const range = document.createRange();
        range.setStart(text, 0);
        range.setEnd(text, 1);
        return range.getBoundingClientRect().top >= number.getBoundingClientRect().bottom;
    };
    return [...document.querySelectorAll('button.told-number')].map(e => [e, e.nextSibling])
        .filter(([e, next]) => /^[.,;:]/.test(next?.data ?? '') && below(e, next)).map(([e, next]) => e.innerText);
}"""


def test_a_mark_of_punctuation_stays_with_its_number(browser):
    with opened(browser, FRONT) as (page, *_):
        found = []
        # At one width or another, each number is the last word of a line.
        for width in range(320, 460, 4):
            page.set_viewport_size(PHONE | {"width": width})
            found += page.evaluate(LOOSE)
        assert found == []


def test_a_number_opens_what_stands_behind_it_by_keyboard_and_can_be_cited(browser):
    with opened(browser, FRONT) as (page, complaints, requests):
        number = page.locator("button.told-number[data-number*='/retention']").first
        number.focus()
        page.keyboard.press("Enter")
        dialog = page.locator("dialog.number-facts")
        assert dialog.is_visible()
        assert "run" in dialog.inner_text()
        links = dialog.locator("a").evaluate_all("links => links.map(link => link.href)")
        assert links
        assert [link for link in links if not Path(unquote(urlsplit(link).path)).is_file()] == []
        assert [fault for mode in RULES for fault in faults(page, mode)] == []
        dialog.get_by_role("button", name="Copy as BibTeX").click()
        assert dialog.get_by_role("status").inner_text() in ("Copied as BibTeX.", "The browser does not allow copying.")
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert page.evaluate("document.activeElement.className") == "told-number", "the focus returns to the number"
        assert complaints == []
        assert [url for url in requests if not url.startswith("file:")] == []


def test_the_name_of_a_run_leads_to_its_files(browser):
    with opened(browser, Path("book/runs.html")) as (page, *_):
        links = page.locator(".stored-runs a").evaluate_all("links => links.map(link => link.href)")
        assert len(links) >= 4
        assert [link for link in links if not Path(unquote(urlsplit(link).path)).is_file()] == []


EXPLORER = Path("book/explorer.html")


def listed(blocks: list[str]) -> str:
    """Ascending blocks from the first, as the page lists them; `none` where there is none."""
    assert blocks == [str(place) for place in range(len(blocks))]
    return f"0–{blocks[-1]}" if len(blocks) > 1 else ("0" if blocks else "none")


def test_the_explorer_computes_a_view_that_its_address_brings_back(browser):
    with opened(browser, EXPLORER) as (page, complaints, requests):
        # An address without a view stays as it is until a control is moved.
        assert urlsplit(page.url).query == ""
        page.get_by_label("Rule").select_option("released_code")
        page.get_by_label("Near zero is below").select_option("quantile:0.1")
        slider = page.locator("#explore input[type=range]")
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert page.get_by_label("Near zero is below").input_value() == "slider"
        spoken, query = page.locator("#explore [role=status]").inner_text(), urlsplit(page.url).query
        assert {"rule=released_code", "mass=0.25"} <= set(query.split("&"))
        marked = page.locator("#explore table").first.locator("tr.marked th").all_inner_texts()
        assert spoken.startswith(f"Removed: {listed(marked)}")
        assert page.locator("#explore a.explorer-link").evaluate("link => link.search") == f"?{query}"
        assert slider.get_attribute("aria-valuetext").startswith("ε = ")
    with opened(browser, EXPLORER, f"?{query}") as (page, again, _):
        assert page.locator("#explore [role=status]").inner_text() == spoken
        assert complaints == again == []
        assert [url for url in requests if not url.startswith("file:")] == []


def test_blocks_are_removed_by_keyboard_and_one_has_to_stay(browser):
    with opened(browser, EXPLORER) as (page, complaints, _):
        blocks, said = page.locator("#remove-blocks .explorer-block"), page.locator("#remove-blocks [role=status]")
        assert "Press a block to remove it" in said.inner_text()
        for place in range(6):
            blocks.nth(place).focus()
            page.keyboard.press("Space")
        assert blocks.evaluate_all("all => all.map(b => b.getAttribute('aria-pressed'))") == ["true"] * 5 + ["false"]
        assert said.inner_text().startswith("At least one block has to stay.")
        assert "of the 6 sets of 5" in said.inner_text()
        first = page.locator("#remove-blocks table").first
        assert first.locator("tbody th").all_inner_texts()[:2] == ["You", "AVSS"]
        assert "without=0%2C1%2C2%2C3%2C4" in page.url
        assert complaints == []

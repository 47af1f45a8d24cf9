"""The pages of the books in Chromium, with books in them: they fit, read well, have names, and print whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from accordant.canonical.charter import Charter
from accordant.store.engine import Database
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_settlement import DAY, WITH_FEES, live_and_pay_out, settle
from tests.web.company import ConsoleDesk
from tests.web.test_console_browser import CONTRAST, Served, browser, open_page

__all__ = ["browser"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = ("/books", "/books/journal", "/books/revenue", "/books/receivables", "/books/payouts", "/books/changes")
#: The width of a sheet of A4 between its margins, in pixels of print.
SHEET = 680

#: What a reader who does not see the page misses: names of fields, links, tables, pictures; ids that are not unique.
NAMELESS = """() => {
  const poor = [];
  for (const one of document.querySelectorAll("main input:not([type=hidden]), main select, main textarea"))
    if (!one.labels?.length && !one.getAttribute("aria-label")) poor.push(`field ${one.name}`);
  for (const one of document.querySelectorAll("a, button, summary"))
    if (!one.textContent.trim() && !one.getAttribute("aria-label")) poor.push(one.outerHTML.slice(0, 60));
  for (const one of document.querySelectorAll("table"))
    if (!one.querySelector("th") || !one.closest("[aria-label]")) poor.push("a table");
  for (const one of document.querySelectorAll("main svg"))
    if (!one.getAttribute("aria-label") && !one.querySelector("title")?.textContent) poor.push("a picture");
  for (const one of document.querySelectorAll(".scroll"))
    if (one.tabIndex !== 0 || !one.getAttribute("aria-label")) poor.push("a region that only a mouse scrolls");
  const levels = [...document.querySelectorAll("main :is(h1, h2, h3, h4)")].map((one) => Number(one.tagName[1]));
  levels.forEach((level, at) => { if (level > (levels[at - 1] ?? 0) + 1) poor.push(`a heading of level ${level}`); });
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  poor.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `id ${id} twice`));
  return poor;
}"""


async def _live(folder: Path) -> tuple[Charter, str]:
    """Books with what people have: bills paid and open, a payout followed, a month recognised, and one bill held."""
    async with an_installation(f"sqlite:///{folder / 'store.db'}", folder, more=WITH_FEES) as one:
        made = live_and_pay_out(one)
        await settle(one)
        one.sell(2)
        one.stripe.advance(9 * DAY)
        for told in one.events():
            if b'"charge.succeeded"' not in told.body() and b'"invoice.paid"' not in told.body():
                one.hub.inbox.accept([one.arrival(told.body())])
        one.process()
        one.hub.bookkeeper.recognise("Example GmbH", date(2024, 1, 1))
        return one.hub.charter, made["id"]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("books")
    charter, payout = asyncio.run(_live(folder))
    desk = ConsoleDesk(Database(f"sqlite:///{folder / 'store.db'}"), charter=charter)
    served = Served(desk, (f"/books/payouts?of={payout}",))
    served.start()
    yield served
    served.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_books_fit_and_read_well(books: Served, browser: Browser, width: int, scheme: str) -> None:
    page, errors = open_page(browser, width, scheme)
    for path in (*PAGES, *books.deep):
        page.goto(books.url + path)
        assert page.locator("main table").count() or path == "/books/changes", path
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(CONTRAST) == [], path
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, path
        assert page.evaluate(NAMELESS) == [], path
    assert errors == []
    page.context.close()


def test_a_finance_person_finds_what_stands_in_the_way_before_anything_else(books: Served, browser: Browser) -> None:
    page, _ = open_page(browser, 1280, "light")
    page.goto(f"{books.url}/books")
    headings = page.locator("main h2").all_inner_texts()
    assert headings[0] == "To close"
    assert headings[1] == "Trial balance of Example GmbH"
    box = page.locator("main .card").first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 900, "without scrolling"
    assert "accordant books close" in page.locator("main .card code").last.inner_text()
    sums = page.locator("tfoot td").all_inner_texts()
    assert (sums[0] == sums[1], sums[2]) == (True, "0.00")
    page.context.close()


def test_statements_print_whole_in_black_on_white(books: Served, browser: Browser) -> None:
    page, _ = open_page(browser, SHEET, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    for path in (*PAGES, *books.deep):
        page.goto(books.url + path)
        for hidden in (".top", ".places", ".files", ".filters"):
            assert not any(one.is_visible() for one in page.locator(hidden).all()), (path, hidden)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate(CONTRAST) == [], path
        # What is beyond the edge of the paper cannot be scrolled to.
        cut = "[...document.querySelectorAll('main table')].map((one) => one.getBoundingClientRect().right)"
        rights = page.evaluate(cut)
        assert all(right <= SHEET + 1 for right in rights), (path, rights)
    page.goto(f"{books.url}/books/journal")
    assert page.locator("details:not([open]) table").first.is_visible(), "an entry that is folded on the screen"
    page.context.close()

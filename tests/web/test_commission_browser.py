"""The page of commissions in Chromium: empty and full, wide and narrow, light and dark."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from accordant.canonical.charter import Charter
from accordant.store.engine import Database
from tests.integration.operations.commission_kit import a_paying_company, count, lines, owner_of, pay, won
from tests.web.company import ConsoleDesk
from tests.web.test_book_browser import NAMELESS
from tests.web.test_console_browser import CONTRAST, Served, browser, open_page

__all__ = ["browser"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def _live(folder: Path) -> tuple[Charter, str, str]:
    """A month with a payment, a refund of a part, and a bill that nobody paid; its name, and who owns the deal."""
    async with a_paying_company(f"sqlite:///{folder / 'store.db'}", folder) as one:
        deal, _ = await won(one)
        (charge,) = await pay(one)
        one.stripe.account.payments.refund(charge, amount=50_00, given={})
        await count(one)
        return one.hub.charter, f"{lines(one)[0].posted_on:%Y-%m}", owner_of(one, deal)


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("commissions")
    charter, month, owner = asyncio.run(_live(folder))
    desk = ConsoleDesk(Database(f"sqlite:///{folder / 'store.db'}"), charter=charter)
    served = Served(desk, (f"/books/commissions?month={month}", owner))
    served.start()
    yield served
    served.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_statement_fits_and_reads_well(paid: Served, browser: Browser, width: int, scheme: str) -> None:
    page, errors = open_page(browser, width, scheme)
    full, owner = paid.deep
    for path in (full, "/books/commissions?month=2030-01", "/books/commissions?month=2020-01"):
        page.goto(paid.url + path)
        assert page.evaluate(CONTRAST) == [], path
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, path
        assert page.evaluate(NAMELESS) == [], path
    assert "Nobody earned anything by this month." in page.locator("main").inner_text()
    page.goto(paid.url + full)
    row = page.locator("main table").first.locator("tbody tr").first.locator("td").all_inner_texts()
    assert owner in row[0]
    assert [one.replace("\u2212", "-") for one in row[1:7]] == ["0.00", "16.00", "-4.00", "0.00", "12.00", "150.00"]
    assert page.locator("main .pill.good").count() == 1
    assert errors == []
    page.context.close()

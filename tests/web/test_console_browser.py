"""Every page in Chromium: narrow and wide, light and dark, empty and filled; nothing overflows, every text reads."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from sqlalchemy import select
from uvicorn import Config, Server

from accordant.canonical.rehearsal import RehearsalOrder, RehearsalProgress, RehearsalTicket
from accordant.kernel.ids import derived_id
from accordant.store.schema import conflict
from accordant.web.console.routes import console_application
from tests.databases import open_store
from tests.web.company import ConsoleDesk, open_conflict, seed_company
from tests.web.test_rehearsal_pages import held
from tests.web.test_review_pages import a_question

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
BETA = derived_id("acc", "stripe", "customer", "cus_beta")
EMPTY_PAGES = (
    "/", "/charter", "/charter/entity-map", "/customers", "/shadow", "/trouble", "/why", "/nowhere",
    "/conflicts", "/phases", "/rehearsals", "/review", "/books", "/books/journal", "/books/revenue",
    "/books/receivables", "/books/payouts", "/books/changes", "/openings", "/sagas", "/comparisons",
)  # fmt: skip
FILLED_PAGES = (
    "/charter", "/charter/entity-map", "/charter/sensitivity-policy", "/charter/gate-list",
    "/", "/customers", f"/customers/{BETA}", "/events/4", "/events/9", "/shadow", "/trouble",
    "/why?ref=salesforce:Account/cus_beta&field=MRR__c", "/flows/pause?flow=accounts",
    "/why?ref=stripe:customer/cus_beta", "/why?ref=salesforce:Account/001NOBODY",
    "/conflicts", "/phases", "/phases/accounts", "/rehearsals", "/rehearsals/reh_1", "/rehearsals/reh_runs", "/review",
)  # fmt: skip

#: Contrast of every visible text against the nearest opaque background, as WCAG 2.2 counts it (1.4.3).
CONTRAST = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number);
    return { rgb: n.slice(0, 3), a: n[3] ?? 1 }; };
  const lum = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, .unseen, .skip")) continue;
    let back = element;
    while (back && parse(getComputedStyle(back).backgroundColor).a < 1) back = back.parentElement;
    const behind = back ? parse(getComputedStyle(back).backgroundColor).rgb : [255, 255, 255];
    const style = getComputedStyle(element);
    const [a, b] = [lum(parse(style.color).rgb), lum(behind)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push([walker.currentNode.textContent.trim().slice(0, 40), ratio.toFixed(2)]);
  }
  return poor;
}"""


class Served:
    """A console on a port of its own, in a thread."""

    def __init__(self, desk: ConsoleDesk, deep: tuple[str, ...] = ()) -> None:
        self.deep = deep
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._desk = desk
        self._server: Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("the console did not start")

    def stop(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(15)
        self._desk.database.close()

    async def _serve(self) -> None:
        self._server = Server(Config(console_application(self._desk), port=self.port, log_level="error"))
        await self._server.serve()


def _deep_pages(desk: ConsoleDesk) -> tuple[str, ...]:
    """A question to people and a conflict, each on its own page."""
    case = a_question(desk.database)
    with desk.database.read() as connection:
        found = connection.execute(select(conflict.c.id)).scalars().first()
    return f"/review/{case}", f"/conflicts/{found}"


def _rehearse(desk: ConsoleDesk) -> None:
    """One rehearsal with a result, one that runs."""
    desk.folders = {"charter-next": "bbbbbbbbbbbb"}
    held(desk.database)
    order = RehearsalTicket(
        id="reh_runs", folder="charter-next", before="a", after="b", actor="Ada (unverified)", ordered_at=desk.now,
        order=RehearsalOrder(),
    )  # fmt: skip
    desk.rehearsals.book.order(order)
    far = RehearsalProgress(
        is_comparing=False, done=2_000, total=6_000, since_at=desk.now, from_done=0, seen_at=desk.now
    )
    assert desk.rehearsals.book.mark(order.id, far)


@pytest.fixture(scope="module")
def consoles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    served = {}
    for name in ("empty", "filled"):
        desk = ConsoleDesk(open_store(f"sqlite:///{tmp_path_factory.mktemp('store') / name}.sqlite"))
        if name == "filled":
            seed_company(desk.database, desk)
            open_conflict(desk.database, account_id=BETA)
            _rehearse(desk)
        served[name] = Served(desk, _deep_pages(desk) if name == "filled" else ())
        served[name].start()
    yield served
    for one in served.values():
        one.stop()


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium_path), args=list(FLAGS))
        yield browser
        browser.close()


def open_page(browser: Browser, width: int, scheme: str) -> tuple[Page, list[str]]:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "404" not in message.text:
            errors.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if "127.0.0.1" not in request.url else None)
    return page, errors


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("kind", ["empty", "filled"])
def test_every_page_fits_reads_well_and_asks_nobody_else(
    consoles: dict[str, Served], browser: Browser, kind: str, width: int, scheme: str
) -> None:
    page, errors = open_page(browser, width, scheme)
    for path in (*FILLED_PAGES, *consoles[kind].deep) if kind == "filled" else EMPTY_PAGES:
        page.goto(consoles[kind].url + path)
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, path
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(CONTRAST) == [], path
        still = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert still <= 0, f"{path}, opened"
    assert errors == []
    page.context.close()


def test_both_values_of_a_conflict_are_in_sight_however_long_the_name_of_its_record(
    tmp_path: Path, browser: Browser
) -> None:
    desk = ConsoleDesk(open_store(f"sqlite:///{tmp_path / 'long.sqlite'}"))
    seed_company(desk.database, desk)
    open_conflict(desk.database, account_id=BETA, record=f"salesforce:Account/cus_{'Z9' * 24}")
    served = Served(desk)
    served.start()
    for width, column in ((1280, 3), (390, 2)):
        page, _ = open_page(browser, width, "light")
        page.goto(f"{served.url}/conflicts")
        box = page.locator(f"tbody tr:first-child td:nth-child({column})").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width, f"at {width} px"
        page.context.close()
    served.stop()


def test_the_keyboard_reaches_the_search_and_shows_where_it_is(consoles: dict[str, Served], browser: Browser) -> None:
    page, _ = open_page(browser, 1280, "light")
    page.goto(consoles["filled"].url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("cus_beta")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/customers/{BETA}")
    page.context.close()


def test_a_retry_goes_through_in_a_real_browser(tmp_path: Path, browser: Browser) -> None:
    desk = ConsoleDesk(open_store(f"sqlite:///{tmp_path / 'retry.sqlite'}"))
    seed_company(desk.database, desk)
    served = Served(desk)
    served.start()
    page, errors = open_page(browser, 1280, "light")
    page.goto(f"{served.url}/trouble?kind=dead")
    page.get_by_role("link", name="Put back 1 write").click()
    page.get_by_label("What was mended?").fill("A deleted field")
    page.get_by_label("Where?").fill("CRM-17")
    page.get_by_label("Why are they to be tried again?").fill("The field is back")
    page.get_by_role("button", name="Put back 1 write").click()
    page.wait_for_url("**/trouble?told=1*")
    assert "1 dead letter went back" in page.inner_text("main")
    assert [what[0] for what in desk.asked] == ["redrive"]
    assert errors == []
    page.context.close()
    served.stop()

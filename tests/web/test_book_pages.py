"""The pages of the books: they say what the tables hold, empty and filled, as a page, as JSON and as CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from accordant.ledger.tables import TableName
from accordant.web.console import book_pages, money_pages, table_pages
from accordant.web.console.routes import console_application
from tests.integration.operations.bookkit import LEDGER, live_half_a_year
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_settlement import DAY, WITH_FEES, live_and_pay_out, settle

PAGES = (
    "/books",
    "/books/journal",
    "/books/revenue",
    "/books/receivables",
    "/books/payouts",
    "/books/changes",
    "/books/commissions",
)


@contextmanager
def visitor(one: Installation) -> Iterator[TestClient[Litestar]]:
    with TestClient(console_application(one.hub), base_url="http://127.0.0.1") as client:
        yield client


async def test_without_books_each_page_says_what_to_do(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        with visitor(one) as client:
            for page in PAGES:
                answer = client.get(page)
                assert answer.status_code == 200, answer.text
                assert 'class="empty"' in answer.text
            assert "Add <code>ledger</code>" in client.get("/books").text


async def test_the_pages_show_the_books(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        said = list(one.events())
        # One payment is still on its way: a bill is open, and its customer is late.
        last = max(index for index, event in enumerate(said) if b'"charge.succeeded"' in event.body())
        paid = [event for event in said[last:] if b'"invoice' in event.body() or b'"charge' in event.body()]
        kept = [event for event in said if event not in paid]
        one.hub.inbox.accept([one.arrival(event.body()) for event in kept])
        one.process()
        one.clock.move(days=200)
        one.hub.bookkeeper.recognise("Example GmbH", date(2024, 1, 1))
        with visitor(one) as client:
            whole = client.get("/books.json").json()
            assert sum(row["debit_minor"] - row["credit_minor"] for row in whole["trial_balance"]) == 0
            rows = list(csv.DictReader(client.get("/books.csv").text.splitlines()))
            assert [row["account"] for row in rows] == [row["account"] for row in whole["trial_balance"]]
            page = client.get("/books").text
            assert all(f"<code>{row['account']}</code>" in page for row in rows)
            # January is recognised, February is not: the months behind it wait.
            (due,) = whole["to_close"]
            assert (due["month_on"], due["missing"]) == ("2024-01-01", [])
            assert "Nothing is missing." in page
            one.hub.bookkeeper.close("Example GmbH", close_before(one), by="Ann")
            assert "February 2024" in (page := client.get("/books").text)
            assert "is not recognised" in page

            entries = client.get("/books/journal.json").json()["entries"]
            first = entries[0]["entry"]["id"]
            assert first in client.get(f"/books/journal?entry={first}").text
            only = client.get("/books/journal.json?account=2200").json()["entries"]
            assert all(any(line["account"] == "2200" for line in row["entry"]["postings"]) for row in only)
            assert "No entry fits." in client.get("/books/journal?account=none").text

            assert client.get("/books/journal.json").json()["further"] is None

            rolled = client.get("/books/revenue.json").json()
            for before, after in zip(rolled["rolled"], rolled["rolled"][1:], strict=False):
                assert after["moved"]["opening"] == before["closing"]
            assert client.get("/books/revenue").status_code == 200
            assert client.get("/books/revenue?company=Nobody").status_code == 404

            owed = client.get("/books/receivables.json").json()
            assert sum(owed["aging"].values()) == sum(row["bill"]["open_minor"] for row in owed["bills"]) > 0
            assert owed["bills"][0]["number"] in client.get("/books/receivables").text
            # What the lists come to is what the accounts hold, and the pages say so.
            assert owed["tie"]["listed"] == owed["tie"]["ledger"] == sum(owed["aging"].values())
            assert rolled["tie"]["listed"] == rolled["tie"]["ledger"]
            for page in ("receivables", "revenue"):
                assert '<span class="pill good">ties</span>' in client.get(f"/books/{page}").text


async def test_the_journal_is_paged_and_asked_for_by_what_people_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_pages, "PAGE", 7)
    monkeypatch.setattr(book_pages, "FILE_PAGE", 7)
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        customer = next(iter(one.stripe.account.book.table("customer")))
        with visitor(one) as client:
            whole = walked(client, "/books/journal.json")
            assert len({row["entry"]["id"] for row in whole}) == len(whole) > 14
            days = [row["entry"]["posted_on"] for row in whole]
            assert days == sorted(days, reverse=True)
            for asked, fits in (
                (f"customer={customer}", lambda row: row["entry"]["party"] == f"stripe:customer/{customer}"),
                ("month=2024-02", lambda row: row["entry"]["posted_on"].startswith("2024-02")),
                ("account=1090", lambda row: any(line["account"] == "1090" for line in row["entry"]["postings"])),
                ("system=stripe", lambda row: row["entry"]["cause"]["subject"].startswith("stripe:")),
            ):
                found = walked(client, f"/books/journal.json?{asked}")
                assert [row["entry"]["id"] for row in found] == [row["entry"]["id"] for row in whole if fits(row)]
                assert found
            assert walked(client, "/books/journal.json?system=strip") == []
            first = client.get(f"/books/journal?customer={customer}").text
            further = re.search(r'<a class="button" href="([^"]+)">Next page', first)
            assert further is not None
            assert f"customer={customer}" in further[1]
            assert client.get(further[1].replace("&amp;", "&")).status_code == 200
            assert client.get("/books/journal?month=soon").status_code == 400
            changed = next(row["entry"]["id"] for row in whole if any(
                "treatment" in line["dimensions"] for line in row["entry"]["postings"]))  # fmt: skip
            page = client.get(f"/books/journal?entry={changed}").text
            assert "the rest of the price over the rest of the term (606-10-25-13(a))" in page
            account = next(row["root_id"] for row in walked(client, f"/books/journal.json?customer={customer}"))
            assert f"/books/journal?customer={account}" in client.get(f"/customers/{account}").text


def walked(client: TestClient[Litestar], address: str) -> list[dict[str, Any]]:
    """Every entry, page after page."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        asked = f"{'&' if '?' in address else '?'}after={quote(after)}" if after else ""
        page = client.get(address + asked).json()
        found += page["entries"]
        if (after := page["further"]) is None:
            return found
        assert len(page["entries"]) == 7


def close_before(one: Installation) -> date:
    """All months before January are closed; January is left."""
    january = date(2024, 1, 1)
    for period in one.hub.bookkeeper.periods("Example GmbH"):
        if period.starts_on < january:
            one.hub.bookkeeper.close("Example GmbH", period.starts_on, by="Ann")
    return january


async def test_a_payout_is_followed_to_its_payments_on_a_page(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=WITH_FEES) as one:
        made = live_and_pay_out(one)
        with visitor(one) as client:
            assert "Nothing is known of what it settled" in client.get("/books/payouts").text
        await settle(one)
        with visitor(one) as client:
            listed = client.get("/books/payouts").text
            assert f"/books/payouts?of={made['id']}" in listed
            page = client.get(f"/books/payouts?of={made['id']}").text
            assert "every unit is explained" in page
            assert "<svg" in page
            whole = client.get(f"/books/payouts.json?of={made['id']}").json()
            rows = list(csv.DictReader(client.get(f"/books/payouts.csv?of={made['id']}").text.splitlines()))
            assert sum(int(row["net_minor"]) for row in rows) == whole["payout"]["amount"]["amount_minor"]
            assert all(row["movement"] in page for row in rows)
            assert client.get("/books/payouts?of=po_nobody").status_code == 404


async def test_a_long_list_is_cut_and_says_so_and_the_files_have_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_pages, "_BILLS_SHOWN", 1)
    monkeypatch.setattr(money_pages, "_SHOWN", 1)
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=WITH_FEES) as one:
        live_and_pay_out(one)
        one.sell(2)
        one.stripe.advance(9 * DAY)
        assert one.stripe.account.payments.create_payout("usd", automatic=False, amount=1_000)
        for told in one.events():
            if b'"charge.succeeded"' not in told.body() and b'"invoice.paid"' not in told.body():
                one.hub.inbox.accept([one.arrival(told.body())])
        one.process()
        with visitor(one) as client:
            page = client.get("/books/receivables").text
            bills = list(csv.DictReader(client.get("/books/receivables.csv").text.splitlines()))
            assert len(bills) > 1
            assert f"1 of {len(bills)} open bills, the longest due first; the files have all." in page
            assert [one["number"] in page for one in bills] == [True] + [False] * (len(bills) - 1)
            made = list(csv.DictReader(client.get("/books/payouts.csv").text.splitlines()))
            page = client.get("/books/payouts").text
            assert [one["payout"] in page for one in made] == [True, False]
            assert "The newest 1; the files have all." in page


async def test_tables_are_handed_out_whole_as_files_of_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        with visitor(one) as client:
            pages = "".join(client.get(page).text for page in PAGES)
            links = set(re.findall(r'href="(/books/tables/[^"]+)"', pages))
            assert links == {
                f"/books/tables/{name}.{kind}" for name in TableName for kind in ("csv", "xlsx", "parquet")
            }
            for link in sorted(links):
                answer = client.get(link)
                assert (answer.status_code, len(answer.content) > 0) == (200, True), (link, answer.text[:500])
                assert f'accordant-{link.rpartition("/")[2]}"' in answer.headers["content-disposition"]
            rows = pyarrow.parquet.read_table(BytesIO(client.get("/books/tables/journal.parquet").content)).to_pylist()
            whole = list(csv.DictReader(client.get("/books/tables/journal.csv").text.splitlines()))
            assert [row["entry"] for row in whole] == [row["entry"] for row in rows]
            assert sum(row["debit"] or 0 for row in rows) == sum(row["credit"] or 0 for row in rows) > 0
            assert client.get("/books/tables/journal.pdf").status_code == 404
            assert client.get("/books/tables/nothing.xlsx").status_code == 404
            monkeypatch.setattr(table_pages, "ROWS_MAX", len(rows) - 1)
            refused = client.get("/books/tables/journal.xlsx")
            assert (refused.status_code, "accordant books export FILE --table journal" in refused.text) == (409, True)


async def test_a_change_in_mid_term_is_held_against_its_rule_on_a_page(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        one.take_in()
        one.process()
        with visitor(one) as client:
            right = client.get("/books/changes.json").json()["changes"]
            assert right
            assert [row["difference"]["why"] for row in right] == ["Both lines are what the rule gives."] * len(right)
            assert "No change differs from the rule." in client.get("/books/changes").text


async def test_a_change_that_was_billed_wrongly_is_told_to_the_minor_unit(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, more=LEDGER) as one:
        live_half_a_year(one)
        for told in one.events():
            body = json.loads(told.body())
            what = body["data"]["object"]
            for line in what.get("lines", {}).get("data", ()) if what["object"] == "invoice" else ():
                if line["amount"] < 0:
                    line["amount"] -= 7
            one.hub.inbox.accept([one.arrival(json.dumps(body).encode())])
        one.process()
        with visitor(one) as client:
            page = client.get("/books/changes").text
            assert "differ from the rule" in page
            rows = list(csv.DictReader(client.get("/books/changes.csv").text.splitlines()))
            assert {row["credit_off_minor"] for row in rows} == {"-7"}
            assert {row["charge_off_minor"] for row in rows} == {"0"}
            assert all("were left" in row["why"] for row in rows)

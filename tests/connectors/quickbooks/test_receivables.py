"""What customers owe: told when it changed or fell due, once for each state, and with credits taken off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from accordant.canonical.refs import ExternalRef
from accordant.connectors.quickbooks.connector import reader
from accordant.connectors.quickbooks.receivables import QuickBooksReader
from accordant.connectors.sdk.receivables import CHANGED, Told
from accordant.kernel.errors import RejectedError
from tests.connectors.ledger_kit import billed, invoice, move, paid, put
from tests.connectors.quickbooks.kit import BILL, CUSTOMER, ENTRY, LOOPBACK, Books, settings

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def lister(one: Books) -> AsyncIterator[QuickBooksReader]:
    made = reader(
        settings(one.simulator.url, one.folder), one.clock, system="quickbooks", rate_per_s=1_000, addresses=LOOPBACK
    )
    yield made
    await made.close()


async def told(lister: QuickBooksReader, since: datetime, until: datetime) -> list[Told]:
    pages = [page async for page in lister.events(since=since, until=until, event_type=CHANGED)]
    return [msgspec.json.decode(body, type=Told) for page in pages for body in page]


async def test_a_change_is_told_once_and_becoming_overdue_is_another(one: Books, lister: QuickBooksReader) -> None:
    party = await one.a_customer("cus_1")
    fields = invoice(billed(party, "100.00", "19.00"), party=party, due_date="2026-03-20")
    await put(one.erp, BILL, "jrn_1", fields)
    changed_at = one.clock()
    one.clock.move(minutes=20)
    (first,) = await told(lister, BEFORE, one.clock())
    assert (first.open, first.overdue, first.at) == ("119.00", "0.00", changed_at)
    assert await told(lister, BEFORE, one.clock()) == [first]
    assert await told(lister, one.clock(), one.clock() + timedelta(hours=1)) == []
    since = one.clock()
    one.clock.move(days=10)
    (late,) = await told(lister, since, one.clock())
    assert (late.overdue, late.oldest_due_on) == ("119.00", date(2026, 3, 20))
    assert late.at == datetime(2026, 3, 21, tzinfo=UTC)


async def test_payments_and_unused_credits_lower_what_is_owed(one: Books, lister: QuickBooksReader) -> None:
    party = await one.a_customer("cus_1")
    await put(one.erp, BILL, "jrn_1", invoice(billed(party, "100.00", "19.00"), party=party))
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "19.00"), settles="jrn_1"))
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party))  # names no bill
    customer = (await one.erp.read(CUSTOMER, [party]))[party].target_id
    body, _ = await lister.read(ExternalRef("quickbooks", "receivable", customer))
    one_state = msgspec.json.decode(body, type=Told)
    assert (one_state.open, one_state.overdue) == ("40.50", "40.50")
    pages = [page async for page in lister.pages("receivable")]
    assert [msgspec.json.decode(raw, type=Told).open for page in pages for _, raw in page.objects] == ["40.50"]
    assert (await lister.read(ExternalRef("quickbooks", "receivable", "999999")))[0] == b""
    with pytest.raises(RejectedError):
        await lister.read(ExternalRef("quickbooks", "Account", "1"))


async def test_only_what_changed_since_is_asked_for(one: Books, lister: QuickBooksReader) -> None:
    for number in range(3):
        party = await one.a_customer(f"cus_{number}")
        await put(one.erp, BILL, f"jrn_{number}", invoice(billed(party, "1.00", "0.19"), party=party))
        one.clock.move(hours=1)
    one.simulator.calls.clear()
    since = one.clock() - timedelta(minutes=90)
    assert len(await told(lister, since, one.clock())) == 1
    asked = [call.query["changedSince"] for call in one.simulator.calls if call.path.endswith("/cdc")]
    assert asked == [since.isoformat()]


async def test_what_lies_further_back_than_the_vendor_tells_is_not_asked_for(
    one: Books, lister: QuickBooksReader
) -> None:
    await told(lister, one.clock() - timedelta(days=90), one.clock())
    (asked,) = [call.query["changedSince"] for call in one.simulator.calls if call.path.endswith("/cdc")]
    assert one.clock() - datetime.fromisoformat(asked) < timedelta(days=30)


async def test_a_payment_that_was_deleted_is_found_by_the_list_of_what_is_open(
    one: Books, lister: QuickBooksReader
) -> None:
    party = await one.a_customer("cus_1")
    await put(one.erp, BILL, "jrn_1", invoice(billed(party, "100.00", "19.00"), party=party))
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "119.00"), settles="jrn_1"))
    assert [page.objects async for page in lister.pages("receivable")] == [()]
    (payment,) = one.rows("Payment")
    one.simulator.books.delete("Payment", payment["Id"])
    pages = [page async for page in lister.pages("receivable")]
    assert [msgspec.json.decode(raw, type=Told).open for page in pages for _, raw in page.objects] == ["119.00"]

"""What customers owe: told when it changed or fell due, once for each state, and with credits taken off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.receivables import CHANGED, Told
from accordant.connectors.xero.connector import reader
from accordant.connectors.xero.receivables import XeroReader
from accordant.kernel.errors import RejectedError
from tests.connectors.ledger_kit import billed, invoice, move, paid, put
from tests.connectors.xero.kit import BILL, CONTACT, ENTRY, LOOPBACK, Books, settings

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def lister(one: Books) -> AsyncIterator[XeroReader]:
    made = reader(settings(one.simulator.url), one.clock, system="xero", rate_per_s=1_000, addresses=LOOPBACK)
    yield made
    await made.close()


async def told(lister: XeroReader, since: datetime, until: datetime) -> list[Told]:
    pages = [page async for page in lister.events(since=since, until=until, event_type=CHANGED)]
    return [msgspec.json.decode(body, type=Told) for page in pages for body in page]


async def test_a_change_is_told_once_and_becoming_overdue_is_another(one: Books, lister: XeroReader) -> None:
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


async def test_payments_and_unused_credits_lower_what_is_owed(one: Books, lister: XeroReader) -> None:
    party = await one.a_customer("cus_1")
    await put(one.erp, BILL, "jrn_1", invoice(billed(party, "100.00", "19.00"), party=party))
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "19.00"), settles="jrn_1"))
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party))  # names no bill
    contact = (await one.erp.read(CONTACT, [party]))[party].target_id
    body, _ = await lister.read(ExternalRef("xero", "receivable", contact))
    one_state = msgspec.json.decode(body, type=Told)
    assert (one_state.open, one_state.overdue) == ("40.50", "40.50")
    pages = [page async for page in lister.pages("receivable")]
    assert [msgspec.json.decode(raw, type=Told).open for page in pages for _, raw in page.objects] == ["40.50"]
    assert (await lister.read(ExternalRef("xero", "receivable", "no-such-contact")))[0] == b""
    with pytest.raises(RejectedError):
        await lister.read(ExternalRef("xero", "Account", "1"))


async def test_only_what_changed_since_is_asked_for(one: Books, lister: XeroReader) -> None:
    for number in range(3):
        party = await one.a_customer(f"cus_{number}")
        await put(one.erp, BILL, f"jrn_{number}", invoice(billed(party, "1.00", "0.19"), party=party))
        one.clock.move(hours=1)
    one.simulator.calls.clear()
    since = one.clock() - timedelta(minutes=90)
    assert len(await told(lister, since, one.clock())) == 1
    asked = [call.headers.get("if-modified-since") for call in one.simulator.calls if "Invoices" in call.path]
    assert (since - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S") in asked

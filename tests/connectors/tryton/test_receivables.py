"""What customers owe by a real Tryton's books: told when it changes, told when it becomes late, and told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.receivables import Told
from accordant.connectors.tryton.connector import reader
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.receivables import TrytonReader
from accordant.kernel.errors import RejectedError
from tests.connectors.tryton.kit import INVOICE, MOVE, PARTY, a_customer, billed, connect, invoice, move, paid, put
from tests.connectors.tryton.server import PASSWORD, USER, Tryton

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def erp(tryton: Tryton) -> AsyncIterator[TrytonOutbound]:
    made = connect(tryton)
    yield made
    await made.close()


@pytest.fixture
async def debts(tryton: Tryton) -> AsyncIterator[TrytonReader]:
    settings = {"url": tryton.url, "database": tryton.database, "user": USER, "password": PASSWORD}
    made = reader(settings, lambda: datetime.now(UTC), system="tryton", addresses=AddressPolicy(allow_loopback=True))
    yield made
    await made.close()


async def told(debts: TrytonReader, since: datetime, until: datetime) -> dict[str, Told]:
    pages = [page async for page in debts.events(since=since, until=until)]
    found = [msgspec.json.decode(body, type=Told) for page in pages for body in page]
    assert len({one.id for one in found}) == len(found)
    return {one.party: one for one in found}


async def test_a_bill_a_payment_and_the_day_it_becomes_late_are_told(erp: TrytonOutbound, debts: TrytonReader) -> None:
    code = await a_customer(erp, "cus_owing")
    bill = invoice(billed(code, "100.00", "19.00"), party=code, due_date="2026-04-04")
    await put(erp, INVOICE, "jrn_owing", bill)
    party = {key: held.target_id async for key, held in erp.keys(PARTY)}[code]
    soon = datetime.now(UTC) + timedelta(minutes=1)
    first = (await told(debts, ALWAYS, soon))[party]
    assert (first.open, first.overdue, first.oldest_due_on) == ("119.00", "119.00", date(2026, 4, 4))
    assert (await told(debts, ALWAYS, soon))[party] == first  # asked twice it is one event

    await put(erp, MOVE, "jrn_owing_p", move(paid(code, "100.00"), settles="jrn_owing"))
    second = (await told(debts, first.at, soon))[party]
    assert (second.open, second.overdue) == ("19.00", "19.00")
    assert second.at > first.at
    assert party not in await told(debts, second.at + timedelta(microseconds=1), soon)

    body, _ = await debts.read(ExternalRef("tryton", "receivable", second.id))
    assert msgspec.json.decode(body, type=Told).open == "19.00"
    listed = [page async for page in debts.pages("receivable")]
    assert second.id in {ref.id for page in listed for ref, _ in page.objects}


async def test_a_bill_of_the_future_is_told_again_when_its_day_is_over(
    erp: TrytonOutbound, debts: TrytonReader
) -> None:
    code = await a_customer(erp, "cus_late_one")
    await put(erp, INVOICE, "jrn_future", invoice(billed(code, "10.00", "1.90"), party=code, due_date="2099-05-05"))
    party = {key: held.target_id async for key, held in erp.keys(PARTY)}[code]
    now = datetime.now(UTC) + timedelta(minutes=1)
    assert (await told(debts, ALWAYS, now))[party].overdue == "0.00"
    turned = datetime(2099, 5, 6, tzinfo=UTC)
    late = (await told(debts, turned - timedelta(hours=1), turned + timedelta(hours=1)))[party]
    assert (late.at, late.overdue, late.oldest_due_on) == (turned, "11.90", date(2099, 5, 5))


async def test_only_what_customers_owe_is_read(debts: TrytonReader) -> None:
    with pytest.raises(RejectedError):
        await debts.read(ExternalRef("tryton", "party.party", "1"))
    assert [page async for page in debts.pages("party.party")] == []
    body, _ = await debts.read(ExternalRef("tryton", "receivable", "999999@1"))
    assert body == b""

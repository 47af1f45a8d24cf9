"""From the customer's transfer over the processor's payout to the booking at the bank: each step and each gap told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from accordant.views.payouts import payout, payouts
from accordant.web.lookout import Lookout
from tests.connectors.camt053.kit import Entry, statement
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_settlement import DAY, WITH_FEES, settle


@asynccontextmanager
async def with_a_bank(store: str, folder: Path) -> AsyncIterator[tuple[Installation, Path]]:
    """An installation whose bank leaves its statements in a folder."""
    files = folder / "statements"
    files.mkdir()
    bank = f"  bank:\n    connector: camt053\n    owner: Finance\n    settings: {{folder: {files}}}\n"

    def edit(charter: str) -> str:
        return charter.replace("\n  salesforce:\n    connector", f"\n{bank}  salesforce:\n    connector", 1)

    async with an_installation(store, folder, more=WITH_FEES, edit=edit) as one:
        yield one, files


async def read_statements(one: Installation) -> int:
    """The sweep takes in what came into the folder since; how many files were new."""
    # A file is of the moment it came, which is the machine's and not the story's.
    one.clock.move(seconds=max(1.0, (datetime.now(UTC) + timedelta(minutes=5) - one.clock()).total_seconds()))
    report = await Lookout(one.hub).sweep("bank", actor="finance", since=datetime.now(UTC) - timedelta(hours=2))
    one.process()
    return report.total


def paid_out(one: Installation) -> dict[str, Any]:
    """Two customers pay; the first from a virtual account, by two transfers."""
    account = one.stripe.account
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="eur", unit_amount=10_000, interval="month")
    for number in range(2):
        person = {"name": f"EXAMPLE-{number}", "email": f"billing+{number}@example.com", "metadata": {}}
        customer = account.create_customer(person, card=True)
        if number == 0:
            for reference, amount in (("RE 2024-7", 6_000), ("RE 2024-8", 9_000)):
                account.payments.cash.fund(
                    customer["id"], amount=amount, currency="eur", reference=reference, sender="Sample GmbH"
                )
                one.stripe.advance(60)
        account.billing.subscribe(customer, [(price, 1)])
    one.stripe.advance(9 * DAY)
    made = account.payments.create_payout("eur")
    assert made is not None
    one.stripe.advance(4 * DAY)
    one.take_in()
    one.process()
    return dict(account.book.table("payout")[made["id"]])


def arrived_on(made: dict[str, Any]) -> date:
    return datetime.fromtimestamp(made["arrival_date"], UTC).date()


def major(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


async def test_a_payout_is_followed_from_the_transfer_to_the_booking(store_url: str, tmp_path: Path) -> None:
    async with with_a_bank(store_url, tmp_path) as (one, files):
        made = paid_out(one)
        await settle(one)
        _, before = payout(one.hub.database, made["id"])
        assert (before.findings, before.arrival.line) == ((), None)
        funded = [line for line in before.lines if line.funded_by]
        assert [[part.movement.reference for part in line.funded_by] for line in funded] == [["RE 2024-7", "RE 2024-8"]]
        assert sum(part.amount.amount_minor for part in funded[0].funded_by) == 10_000

        day = arrived_on(made)
        came = [Entry(major(made["amount"]), day, "BK-1", text=f"STRIPE {made['id']}"), Entry("-4.90", day, "BK-2")]
        (files / "first.xml").write_bytes(statement(came, day=day))
        assert await read_statements(one) == 1
        _, after = payout(one.hub.database, made["id"])
        assert after.findings == ()
        assert after.arrival.line is not None
        assert after.arrival.line.reference == "BK-1"
        (files / "again.xml").write_bytes(statement(came, day=day))
        assert await read_statements(one) == 0, "the same message in another file is the same"


async def test_what_the_bank_did_not_book_and_what_it_booked_otherwise_is_a_finding(
    store_url: str, tmp_path: Path
) -> None:
    async with with_a_bank(store_url, tmp_path) as (one, files):
        made = paid_out(one)
        await settle(one)
        day = arrived_on(made)
        empty = statement([], day=day - timedelta(days=2), until=day + timedelta(days=8), number="1")
        (files / "a.xml").write_bytes(empty)
        await read_statements(one)
        ((_, missing),) = payouts(one.hub.database, limit=10)
        assert missing.findings == (f"It should have come by {day + timedelta(days=7)}, and no account booked it.",)
        short = [Entry(major(made["amount"] - 1), day, "BK-9", text=made["id"])]
        (files / "b.xml").write_bytes(statement(short, day=day, number="2"))
        await read_statements(one)
        _, found = payout(one.hub.database, made["id"])
        assert "The bank booked" in found.findings[0]
        assert "BK-9" in found.findings[0]


async def test_a_file_that_does_not_add_up_waits_for_a_person_and_counts_for_nothing(
    store_url: str, tmp_path: Path
) -> None:
    async with with_a_bank(store_url, tmp_path) as (one, files):
        made = paid_out(one)
        day = arrived_on(made)
        wrong = statement([Entry(major(made["amount"]), day, "BK-1", text=made["id"])], day=day, closing="1.00")
        (files / "wrong.xml").write_bytes(wrong)
        await read_statements(one)
        _, found = payout(one.hub.database, made["id"])
        assert found.arrival.line is None

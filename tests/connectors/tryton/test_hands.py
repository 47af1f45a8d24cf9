"""What people do in Tryton by hand: noticed by the next comparison, told in words, nothing of theirs written over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.entities import Receivable
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.connectors.tryton.rpc import Rpc
from accordant.operations.reconcile import Reconciliation
from accordant.ports.reconcile import Cause, Discrepancy, DiscrepancyKind
from accordant.store.schema import entity, review_case
from tests.connectors.ledger_hands import come_to_rest
from tests.connectors.ledger_story import Company, a_company, owed, receivables_come_back
from tests.connectors.tryton import hands
from tests.connectors.tryton.hands import BOOKS
from tests.connectors.tryton.kit import INVOICE
from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.test_story import the_erp, trial_balance
from tests.integration.operations.test_red_flags import flags

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
FLOWS = ("parties", "bills", "entries")
DAY = date(2024, 1, 20)
_OF_STRANGERS = frozenset({DiscrepancyKind.EXTRA, DiscrepancyKind.DUPLICATE})
SEEDS = iter(range(70, 99))


@pytest.fixture
async def one(tryton: Tryton, tmp_path: Path) -> AsyncIterator[Company]:
    """Two customers with their first bills paid, everything in Tryton, and the first comparison behind us."""
    async with a_company(the_erp(tryton), tmp_path, seed=next(SEEDS)) as made:
        made.sell(2, currency="eur")
        await made.post()
        assert made.left() == []
        for flow in FLOWS:
            await compared(made, flow)
        yield made


async def compared(one: Company, flow: str) -> Reconciliation:
    one.clock.move(seconds=1)
    return await one.hub.reconcile(flow, actor="ada")


async def found(one: Company) -> dict[str, tuple[Discrepancy, ...]]:
    """What the next comparison says of the records of this company: the other tests' are in this Tryton too."""
    told = {flow: (await compared(one, flow)).shown for flow in FLOWS}
    return {flow: tuple(one for one in shown if one.kind not in _OF_STRANGERS) for flow, shown in told.items()}


async def invoices(rpc: Rpc, one: Company) -> list[dict[str, Any]]:
    """The native invoices of this company's customers, the oldest first."""
    customers = [f"accordant:{name}" for name in one.stripe.account.book.table("customer")]
    fields = ["reference", "party", "number", "move", "state"]
    domain = [["party.identifiers.code", "in", customers], ["reference", "like", "jrn_%"]]
    return await rpc.find("account.invoice", domain, fields, context=BOOKS)


async def test_a_posted_invoice_cancelled_by_hand_is_told_and_never_made_again(one: Company, rpc: Rpc) -> None:
    bill, _ = await invoices(rpc, one)
    await hands.wizard(
        rpc, "account.move.unreconcile_lines", "unreconcile", "account.move.line", await owed_lines(rpc, bill["move"])
    )
    await hands.refund(rpc, bill["id"], DAY)
    balance = await trial_balance(rpc)
    (told,) = [one for one in (await found(one))["bills"] if one.record.endswith(bill["reference"])]
    assert (told.kind, told.cause, told.field) == (DiscrepancyKind.DIFFERS, Cause.HAND_EDIT, "state")
    assert (told.expected, told.actual) == ("posted", "cancelled")
    assert "somebody changed state there" in told.explanation
    await one.post()
    assert await trial_balance(rpc) == balance
    assert [row["reference"] for row in await invoices(rpc, one)].count(bill["reference"]) == 1


async def test_a_posted_invoice_whose_reference_was_written_over_is_not_made_twice(one: Company, rpc: Rpc) -> None:
    bill, other = await invoices(rpc, one)
    key = bill["reference"]
    await refer(rpc, bill["id"], "PO-4711")
    before, books = await compared(one, "bills"), await trial_balance(rpc)
    (missing,) = (each for each in before.shown if each.kind not in _OF_STRANGERS)
    assert (missing.kind, missing.repairable) == (DiscrepancyKind.MISSING, True)
    one.hub.repair(before.run.id, actor="ada")
    await come_to_rest(one)
    assert [row["id"] for row in await invoices(rpc, one)] == [other["id"]]
    assert await trial_balance(rpc) == books
    (dead,) = [row for row in one.left() if row.state == "dead"]
    assert f"account.invoice,{bill['id']} of tryton is the document {key}" in dead.reason
    (told,) = (await found(one))["bills"]
    assert (told.cause, told.repairable) == (Cause.HAND_EDIT, False)
    await refer(rpc, bill["id"], key)
    assert (await found(one))["bills"] == ()


async def refer(rpc: Rpc, invoice: int, reference: str) -> None:
    """What Tryton lets an administrator do to an invoice that is posted; its client says along who he is."""
    context = {**await rpc.call("res.user", "get_preferences", True, context=BOOKS), **BOOKS}
    await rpc.call("account.invoice", "write", [invoice], {"reference": reference}, context=context)


async def owed_lines(rpc: Rpc, move: int) -> list[int]:
    domain = [["move", "=", move], ["account.code", "=", "1200"]]
    return [row["id"] for row in await rpc.find("account.move.line", domain, ["move"], context=BOOKS)]


async def test_an_entry_reversed_by_hand_is_told(one: Company, rpc: Rpc) -> None:
    domain = [["description", "like", "jrn_%"], ["journal.code", "=", "CASH"]]
    mine = {row["id"] for row in await invoices(rpc, one)}
    rows = await rpc.find("account.move", [*domain, ["origin", "!=", None]], ["description", "origin"], context=BOOKS)
    payment = next(row for row in rows if int(row["origin"].rpartition(",")[2]) in mine)
    lines = await owed_lines(rpc, payment["id"])
    await hands.wizard(rpc, "account.move.unreconcile_lines", "unreconcile", "account.move.line", lines)
    await hands.reverse(rpc, payment["id"])
    balance = await trial_balance(rpc)
    told = {one.field: one for one in (await found(one))["entries"] if one.record.endswith(payment["description"])}
    assert told["state"].cause is Cause.HAND_EDIT
    assert told["state"].actual == "cancelled"
    await one.post()
    assert await trial_balance(rpc) == balance


async def test_a_party_renamed_by_hand_is_told_and_a_deactivated_one_is_asked_about(one: Company, rpc: Rpc) -> None:
    first, second = [row["party"] for row in await invoices(rpc, one)]
    await rpc.call("party.party", "write", [first], {"name": "By hand"}, context=BOOKS)
    await rpc.call("party.party", "write", [second], {"active": False}, context=BOOKS)
    told = {one.target_id: one for one in (await found(one))["parties"]}
    renamed, gone = told[str(first)], told[str(second)]
    assert (renamed.kind, renamed.field, renamed.actual) == (DiscrepancyKind.DIFFERS, "name", "By hand")
    assert renamed.cause is Cause.HAND_EDIT
    assert (gone.kind, gone.cause) == (DiscrepancyKind.MISSING, Cause.HAND_EDIT)
    assert "somebody deleted it or took its key away" in gone.explanation
    before = await rpc.find("party.party", [["active", "in", [True, False]]], ["name"], context=BOOKS)
    book = one.stripe.account.book
    for customer in list(book.table("customer").values()):
        book.change(customer, "customer.updated", email=f"new-{customer['id'].lower()}@example.com")
    await one.post()
    after = await rpc.find("party.party", [["active", "in", [True, False]]], ["name"], context=BOOKS)
    assert after == before, "neither was the name written over, nor was a second party made of the one that is archived"
    with one.hub.database.read() as connection:
        (asked,) = connection.execute(select(review_case.c.body).where(review_case.c.state == "open")).scalars()
    assert f"Somebody deleted the party.party {second} of this customer in tryton" in msgspec.json.decode(asked)["why"]


async def test_a_bill_paid_by_hand_comes_back_and_what_pays_it_again_says_so(one: Company, rpc: Rpc) -> None:
    account = one.stripe.account
    customer = next(iter(account.book.table("customer")))
    account.payments.set_card(customer, failing=True)
    one.stripe.advance(34 * 86_400)
    await one.post()
    (bill,) = [row for row in await invoices(rpc, one) if row["state"] == "posted"]
    await hands.pay(rpc, bill["id"], date(2024, 2, 10))
    assert (await invoices(rpc, one))[-1]["state"] == "paid"
    assert (await found(one))["bills"] == (), "that it is paid is no change of the bill"
    await receivables_come_back(one)
    assert {party: minor for party, minor in owed(one).items() if minor} == {customer: 10_000}
    with one.hub.database.read() as connection:
        ids = connection.execute(select(entity.c.id).where(entity.c.kind == "receivable")).scalars().all()
    debts = [stored.entity for stored in one.hub.state.entities(ids).values()]
    assert [debt.open.amount_minor for debt in debts if isinstance(debt, Receivable)] == [0, 0]
    account.payments.set_card(customer, failing=False)
    unpaid = next(row for row in account.book.table("invoice").values() if row["status"] == "open")
    assert account.invoices.attempt(unpaid)
    await one.post()
    (stopped,) = one.left()
    assert (stopped.object, stopped.state) == ("account.move", "dead")
    assert f"is to pay {bill['number']}, of which only 0.00 is open there" in stopped.reason
    key = stopped.record.rpartition("/")[2]
    assert len(await rpc.find("account.move", [["description", "=", key]], ["state"], context=BOOKS)) == 1
    assert {one.field for one in (await found(one))["entries"]} == {"settles"}


async def test_a_foreign_invoice_with_a_key_of_ours_is_a_red_flag(one: Company, rpc: Rpc) -> None:
    bill, _ = await invoices(rpc, one)
    (copied,) = await rpc.call("account.invoice", "copy", [bill["id"]], {}, context=BOOKS)
    await rpc.call("account.invoice", "write", [copied], {"reference": "jrn_never_ours"}, context=BOOKS)
    (twin,) = await rpc.call("account.invoice", "copy", [bill["id"]], {}, context=BOOKS)
    await rpc.call("account.invoice", "write", [twin], {"reference": bill["reference"]}, context=BOOKS)
    told = (await compared(one, "bills")).shown
    stranger = next(one for one in told if one.record.endswith("jrn_never_ours"))
    assert (stranger.kind, stranger.cause) == (DiscrepancyKind.EXTRA, Cause.NOT_OURS)
    double = next(one for one in told if one.kind is DiscrepancyKind.DUPLICATE)
    assert (double.expected, double.actual) == (f"account.invoice,{bill['id']}", f"account.invoice,{twin}")
    assert [one for one in told if one.record.endswith(bill["reference"]) and one is not double] == []
    raised = [flag for flag in flags(one) if flag.target_id == f"account.invoice,{copied}"]
    assert [flag.kind for flag in raised] == [RedFlagKind.UNSOURCED_CHANGE]
    held = await one.hub.outbounds["tryton"].read(INVOICE, [bill["reference"]])
    assert held[bill["reference"]].target_id == f"account.invoice,{bill['id']}"

"""Two billing customers of one company in Tryton: one party, and the invoices of both are its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from accordant.connectors.tryton.rpc import Rpc
from accordant.ports.reconcile import DiscrepancyKind
from tests.connectors.ledger_story import a_company
from tests.connectors.tryton.hands import BOOKS
from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.test_known_parties import looked_for, parties_of_bills, rest
from tests.connectors.tryton.test_story import the_erp

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]


async def test_two_customers_of_one_company_are_billed_on_its_party(tryton: Tryton, rpc: Rpc, tmp_path: Path) -> None:
    async with a_company(the_erp(tryton), tmp_path, seed=61, edit=looked_for) as one:
        before = len(await parties_of_bills(rpc))
        account = one.stripe.account
        price = account.create_price(
            account.create_product({"name": "Pro", "metadata": {}}), currency="eur", unit_amount=9_000, interval="month"
        )
        person = {"name": "Shared Works AG", "email": "bills@shared-works.example", "metadata": {}}
        first, second = [account.create_customer(person, card=True)["id"] for _ in range(2)]
        for name in (first, second):
            account.billing.subscribe(account.book.get("customer", name), [(price, 1)])
        await rest(one)
        assert one.left() == []
        marked = [["identifiers.code", "in", [f"accordant:{first}", f"accordant:{second}"]]]
        (shared,) = await rpc.find("party.party", marked, ["code"], context=BOOKS)
        billed = await parties_of_bills(rpc)
        assert len(billed) == before + 2
        assert billed.count(shared["id"]) == 2
        for flow in ("parties", "bills", "entries"):
            one.clock.move(seconds=1)
            found = await one.hub.reconcile(flow, actor="ada")
            assert [each for each in found.shown if each.kind is not DiscrepancyKind.EXTRA] == [], flow

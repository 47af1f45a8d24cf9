"""A won contract and its amendment, from sales to the documents in a running Tryton, whoever dies on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from accordant.connectors.tryton.rpc import Rpc
from accordant.orchestration.saga import SagaKind, SagaPhase, SagaStep, Sight
from accordant.store.schema import journal_entry
from tests.connectors.tryton.contract_kit import Contract, Mortal, a_contract, release, sell
from tests.connectors.tryton.server import Tryton
from tests.connectors.tryton.test_story import BOOKS, receivables, the_erp, trial_balance
from tests.integration.operations.bookkit import balances, held
from tests.integration.operations.opening_kit import subscriptions

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]


async def documents(rpc: Rpc) -> dict[str, list[dict[str, Any]]]:
    """Everything in Tryton that is of this company's customers, whatever state it is in."""
    fields = {
        "party.party": ["code"],
        "account.invoice": ["reference", "state", "number"],
        "account.move": ["description", "state", "number"],
    }
    found = {}
    for model, names in fields.items():
        domain: list[Any] = [["code", "like", "cus_%"]] if model == "party.party" else []
        found[model] = await rpc.find(model, domain, names, context=BOOKS, limit=None)
    return found


def entries(contract: Contract) -> int:
    with contract.one.hub.database.read() as connection:
        return connection.execute(select(func.count()).select_from(journal_entry)).scalar_one()


async def nothing_is_doubled(contract: Contract, rpc: Rpc, *, invoices: int) -> None:
    """Tryton's own documents are the judge: one party, each invoice once, each entry a posted move, equal balances."""
    there = await documents(rpc)
    assert len(there["party.party"]) == 1
    assert len(there["account.invoice"]) == invoices
    assert {row["state"] for row in there["account.invoice"]} <= {"posted", "paid"}
    assert len({row["reference"] for row in there["account.invoice"]}) == invoices
    assert len(there["account.move"]) == entries(contract)
    assert {row["state"] for row in there["account.move"]} == {"posted"}
    books = balances(contract.one.hub.database)
    assert await trial_balance(rpc) == books
    assert sum((await receivables(rpc)).values()) == books.get("1200", 0)


async def test_a_contract_and_its_amendment_end_the_same_whoever_dies_after_whatever_step(
    tryton: Tryton, rpc: Rpc, tmp_path: Path
) -> None:
    mortal = Mortal()
    async with a_contract(the_erp(tryton), tmp_path, mortal=mortal) as contract:
        one = contract.one
        deal = sell(one)
        await contract.around(2)
        release(one)
        won = await contract.until(SagaKind.CONTRACT_WON, SagaPhase.DONE)
        assert {step.step: step.sight for step in won.steps} == {
            SagaStep.BILLING_CUSTOMER: Sight.DONE,
            SagaStep.ERP_CUSTOMER: Sight.DONE,
            SagaStep.SUBSCRIPTION: Sight.DONE,
            SagaStep.FIRST_INVOICE: Sight.DONE,
            SagaStep.POSTING: Sight.DONE,
        }
        (subscription,) = subscriptions(one, deal)
        assert held(one.hub.database) == []
        await nothing_is_doubled(contract, rpc, invoices=1)

        mortal.deaths.clear()
        amend(contract, subscription)
        amended = await contract.until(SagaKind.AMENDMENT, SagaPhase.DONE)
        proofs = {step.step: step.proof or "" for step in amended.steps}
        assert proofs[SagaStep.JOURNAL].startswith("intent/")  # its document in Tryton, not the entry alone
        assert proofs[SagaStep.FORECAST].startswith("intent/")
        await nothing_is_doubled(contract, rpc, invoices=2)
        assert len(subscriptions(one, deal)) == 1
        assert len(mortal.deaths) >= 18
        assert {place for place in mortal.deaths if "account.invoice" in place} == {
            "before the write of account.invoice at tryton",
            "after the write of account.invoice at tryton, before its receipt",
        }


def amend(contract: Contract, subscription: dict[str, Any]) -> None:
    """Billing moves the subscription to a dearer price in mid-term and bills the difference at once."""
    account = contract.one.stripe.account
    product = account.create_product({"name": "Enterprise", "metadata": {}})
    price = account.create_price(product, currency="eur", unit_amount=25_003, interval="month")
    change = {"id": subscription["items"]["data"][0]["id"], "price": price["id"]}
    account.billing.update(subscription, items=[change], proration_behavior="always_invoice")

"""The packet of a red flag shows what billing, the CRM and the ERP hold and should hold: a company on Xero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accordant.canonical.entities import Invoice
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.views.packets import Packet, TargetState
from tests.connectors.ledger_story import Company
from tests.connectors.xero.test_story import a_company_on_xero
from tests.integration.operations.kit import MRR, ROUNDS_MAX
from tests.integration.operations.test_red_flags import WHY, credit, desk, flags, later, named, of, rename, seen


async def everywhere(one: Company) -> None:
    """Everything said is decided, and written to the CRM and to the ERP."""
    await one.settle()
    for _ in range(ROUNDS_MAX):
        if await one.hub.deliver_round("xero") == 0:
            return
    raise AssertionError("the courier did not come to rest")


def at(found: Packet, system: str, part: str) -> TargetState:
    """The record of a system whose name holds ``part``."""
    return next(target for target in found.targets if target.system == system and part in target.record)


async def test_the_packet_has_billing_crm_and_erp_before_and_after(tmp_path: Path) -> None:
    async with a_company_on_xero(tmp_path) as (one, simulator):
        customer, neighbor = one.sell(2, currency="eur")
        await everywhere(one)
        invoice = of(one, "invoice", customer)
        made = len(simulator.books.made)
        one.clock.move(minutes=5)
        later(one)
        subject = credit(one, customer)
        rename(one, [customer, neighbor])
        await everywhere(one)
        (flag,) = flags(one)
        assert (flag.kind, flag.subject) == (RedFlagKind.CREDIT_OVER_TOTAL, subject)
        found = seen(one, flag)
        told = complete(found, invoice["id"])
        assert named(one, customer) != f"Renamed {customer}"
        assert named(one, neighbor) == f"Renamed {neighbor}"
        assert told["contact"].before is not None
        assert told["contact"].after["name"] == f"Renamed {customer}"
        assert told["contact"].before["name"] != f"Renamed {customer}"
        assert "name" in told["contact"].differing
        written = [str(row) for row in simulator.books.made[made:]]
        assert not [row for row in written if customer in row], "nothing of him went to the ERP"
        office = desk(one)
        office.approve(flag.id, digest=found.digest, actor="Ada", reason=WHY)
        office.approve(flag.id, digest=found.digest, actor="Bo", reason=WHY)
        one.clock.move(minutes=1)
        await everywhere(one)
        again = seen(one, flag)
        assert at(again, "xero", customer).differing == ()


def complete(found: Packet, invoice: str) -> dict[str, Any]:
    """Requirement 152: the values of billing, of the CRM and of the ERP, before and after."""
    assert found.event is not None
    assert found.event.external_id.startswith("evt_")
    bill = next(one for one in found.billing if one.ref == f"stripe:invoice/{invoice}")
    assert isinstance(bill.state, Invoice)
    assert bill.state.total.currency == "EUR"
    assert {target.system for target in found.targets} == {"salesforce", "xero"}
    crm = at(found, "salesforce", ":Account/")
    assert crm.before is not None
    assert (crm.before[MRR], crm.after[MRR]) == ("100.00", "100.00")
    document = at(found, "xero", ":Invoices/")
    assert document.before is not None
    assert document.target_id
    assert document.before["lines"] == document.after["lines"]
    return {"contact": at(found, "xero", ":Contacts/"), "document": document, "crm": crm}


@pytest.mark.parametrize("system", ["salesforce", "xero"])
async def test_a_value_that_changes_in_one_system_makes_another_packet(tmp_path: Path, system: str) -> None:
    async with a_company_on_xero(tmp_path) as (one, _):
        (customer,) = one.sell(1, currency="eur")
        await everywhere(one)
        credit(one, customer)
        await everywhere(one)
        (flag,) = flags(one)
        before = seen(one, flag)
        desired = next(target for target in before.targets if target.system == system)
        rename(one, [customer])
        await everywhere(one)
        after = seen(one, flag)
        assert after.digest != before.digest
        assert next(target for target in after.targets if target.record == desired.record).after != desired.after

"""Every call we make and every answer of the stand-in, against Xero's own OpenAPI; left out where that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accordant.canonical.books import Role
from accordant.testing.contracts import load_specification
from tests.connectors.ledger_kit import DEFERRED, REVENUE, billed, invoice, line, move, paid, put, refusal
from tests.connectors.xero.kit import BILL, CONTACT, ENTRY, Books

pytestmark = pytest.mark.contracts
#: The document lists no PUT of a contact's field that Xero's own client sends, and every other path as it is called.
_BASE = "/api.xro/2.0"


async def test_every_call_and_answer_keeps_the_vendors_contract(one: Books, contracts: Path) -> None:
    contract = load_specification(
        contracts / "xero/xero_accounting.yaml", prefix=_BASE, null_is_absent=True, check_formats=False
    )
    party = await one.a_customer("cus_1")
    await put(one.erp, CONTACT, "cus_1", {"name": "Renamed", "email": "a@example.com"})
    await put(one.erp, BILL, "jrn_bill", invoice(billed(party, "100.00", "19.00"), party=party))
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "59.50"), settles="jrn_bill"))
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_bill"))
    lines = (line(DEFERRED, "5.00", Role.DEFERRED_REVENUE), line(REVENUE, "-5.00", Role.REVENUE))
    await put(one.erp, ENTRY, "jrn_earned", move(lines))
    await refusal(
        one.erp, ENTRY, "jrn_bad", move((line(DEFERRED, "5.00", Role.REVENUE), line("9", "-5.00", Role.BANK)))
    )
    for spec in (CONTACT, BILL, ENTRY):
        assert [key async for key, _ in one.erp.keys(spec)]
    seen = set()
    for call in one.calls:
        seen.add((call.method, re.sub(r"/[0-9a-f-]{36}", "/ID", call.path.removeprefix(_BASE))))
        wrong = contract.check_request(
            call.method, call.path, content_type=call.content_type, body=call.request_body, query=call.query
        )
        assert wrong == (), (call.method, call.path, call.query, wrong)
        assert call.method == "GET" or 1 <= len(call.request_headers["Idempotency-Key"]) <= 128
        if call.status == 200:
            told = contract.check_response(call.method, call.path, 200, body=call.body)
            assert told == (), (call.method, call.path, told)
    assert {
        ("PUT", "/Contacts"), ("POST", "/Contacts/ID"), ("PUT", "/Invoices"), ("PUT", "/Payments"),
        ("PUT", "/CreditNotes"), ("PUT", "/CreditNotes/ID/Allocations"), ("PUT", "/ManualJournals"),
    } <= seen  # fmt: skip

"""Every member we send, and every one the stand-in answers with, is an element of Intuit's own XSDs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from accordant.canonical.books import Role
from tests.connectors.ledger_kit import DEFERRED, RECEIVABLE, REVENUE, billed, invoice, line, move, paid, put
from tests.connectors.quickbooks.kit import BILL, CUSTOMER, ENTRY, Books

pytestmark = pytest.mark.contracts
_XS = "{http://www.w3.org/2001/XMLSchema}"
#: Members of the JSON alone: attributes of the XSD's types, or of the call around an entity.
_OF_JSON = frozenset({"value", "name", "sparse", "domain", "status"})


class Schema:
    """The types of Intuit's XSDs, so far as a member of JSON needs them."""

    def __init__(self, folder: Path) -> None:
        self.types: dict[str, ET.Element] = {}
        self.elements: dict[str, str] = {}
        for file in sorted(folder.glob("*.xsd")):
            root = ET.parse(file).getroot()  # noqa: S314  a file of the checkout's neighbor
            self.types |= {one.attrib["name"]: one for one in root if one.tag == f"{_XS}complexType"}
            self.elements |= {one.attrib["name"]: one.get("type", "") for one in root if one.tag == f"{_XS}element"}

    def members(self, name: str) -> dict[str, str]:
        """Every element of a type and of those it extends, with the type of each."""
        one = self.types.get(name.rpartition(":")[2])
        if one is None:
            return {}
        found: dict[str, str] = {}
        for base in one.iter(f"{_XS}extension"):
            found |= self.members(base.attrib["base"])
        for element in one.iter(f"{_XS}element"):
            named = element.get("name") or element.get("ref", "").rpartition(":")[2]
            found[named] = element.get("type") or self.elements.get(named, "")
        return found

    def strangers(self, value: Any, kind: str, path: str = "") -> Iterator[str]:
        """Where a value has a member that its type does not know."""
        if isinstance(value, list):
            for one in value:
                yield from self.strangers(one, kind, path)
        if not isinstance(value, dict):
            return
        known = self.members(kind)
        for name, part in value.items():
            if name in _OF_JSON:
                continue
            if known and name not in known:
                yield f"{path}.{name}"
            yield from self.strangers(part, known.get(name, ""), f"{path}.{name}")


async def test_every_member_is_one_of_the_vendor_s(one: Books, contracts: Path) -> None:
    schema = Schema(contracts / "quickbooks")
    assert {"DocNumber", "CustomerRef", "Line", "TotalAmt"} <= schema.members("Invoice").keys()
    assert {"Customer", "Invoice", "CreditMemo", "Payment", "JournalEntry"} <= schema.types.keys()
    assert list(schema.strangers({"Rainbow": 1, "Line": [{"Colour": 2}]}, "Invoice")) == [".Rainbow", ".Line.Colour"]
    party = await one.a_customer("cus_1")
    await put(one.erp, CUSTOMER, "cus_1", {"name": "Renamed", "email": "a@example.com"})
    await put(one.erp, BILL, "jrn_bill", invoice(billed(party, "100.00", "19.00"), party=party))
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "59.50"), settles="jrn_bill"))
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_bill"))
    lines = (line(RECEIVABLE, "5.00", Role.RECEIVABLE, party=party), line("7000", "-5.00", Role.REVENUE))
    await put(one.erp, ENTRY, "jrn_owed", move(lines))
    await put(
        one.erp, ENTRY, "jrn_earned", move((line(DEFERRED, "5.00", Role.REVENUE), line(REVENUE, "-5.00", Role.REVENUE)))
    )
    sent = set()
    for call in one.calls:
        assert "minorversion=75" in call.query
        told = json.loads(call.body)
        parts = told.get("QueryResponse", told) if call.method == "GET" else told
        for entity, value in parts.items():
            if entity in schema.types:
                assert list(schema.strangers(value, entity)) == [], call.path
        if call.method == "POST":
            entity = next(name for name in told if name != "time")
            sent.add(entity)
            assert re.fullmatch(rf"/v3/company/\d+/{entity.lower()}", call.path)
            assert list(schema.strangers(json.loads(call.request_body), entity)) == [], entity
    assert sent == {"Customer", "Invoice", "Payment", "CreditMemo", "JournalEntry"}

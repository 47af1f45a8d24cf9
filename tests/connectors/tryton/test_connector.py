"""Settings of a connection: what is wrong is named with its remedy, and no message shows the password."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accordant.canonical.charter import FieldType
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.ledger_documents import FIELDS, ValueUnreadable
from accordant.connectors.tryton.connector import default_mappings, outbound
from accordant.connectors.tryton.parties import FIELDS as OF_PARTIES
from accordant.connectors.tryton.parties import PARTY
from accordant.connectors.tryton.records import INVOICE, KEY_FIELD, MOVE, OF_INVOICES
from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.ports.connector import DestinationClass
from tests.connectors.tryton.kit import INVOICE as INVOICE_SPEC
from tests.connectors.tryton.kit import billed, invoice

GOOD = {"url": "https://erp.example.com", "database": "erp", "user": "hub", "password": "a-secret-password"}


def clock() -> datetime:
    return datetime(2026, 3, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": ""}, "url"),
        ({"url": "http://erp.example.com"}, "url"),
        ({"url": "https://erp.example.com/erp"}, "holds a path"),
        ({"database": " "}, "database"),
        ({"user": ""}, "user"),
        ({"password": ""}, "password"),
        ({"colour": "red"}, "colour"),
        ({"journal_revenue": "MISC"}, "journal_revenue"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        outbound(GOOD | change, clock)
    assert said in refused.value.message
    assert refused.value.remedy
    assert GOOD["password"] not in str(refused.value)


async def test_a_good_one_offers_what_its_manifest_declares() -> None:
    made = outbound(GOOD, clock)
    assert made.protocol(PARTY).destination_class is DestinationClass.UNIQUE_NUMBER
    for name in (INVOICE, MOVE):
        assert made.protocol(name).destination_class is DestinationClass.SEARCH_ONLY
        assert made.protocol(name).settles_after.total_seconds() > 60  # longer than a call of ours is waited for
    assert GOOD["password"] not in repr(vars(made))
    await made.close()


def test_loopback_is_for_stand_ins_only() -> None:
    with pytest.raises(ConfigurationError):
        outbound(GOOD | {"url": "http://127.0.0.1:8000"}, clock)
    outbound(GOOD | {"url": "http://127.0.0.1:8000"}, clock, addresses=AddressPolicy(allow_loopback=True))


def test_the_shipped_mapping_names_only_what_is_taken() -> None:
    for mapping in default_mappings():
        if mapping.object == PARTY:
            assert mapping.fields.keys() <= set(OF_PARTIES)
            continue
        assert mapping.key_field == KEY_FIELD[mapping.object]
        for name, part in mapping.fields.items():
            assert part.type is FIELDS[name]
            assert part.type is not FieldType.LOOKUP or part.lookup_object == PARTY
            assert mapping.object == INVOICE or name not in OF_INVOICES


async def test_an_object_and_a_key_of_another_kind_are_refused() -> None:
    made = outbound(GOOD, clock)
    with pytest.raises(RejectedError, match=r"sale\.order"):
        await made.read(type(INVOICE_SPEC)(name="sale.order", key_field="reference", fields={}), ["jrn_1"])
    with pytest.raises(RejectedError, match="reference"):
        await made.read(type(INVOICE_SPEC)(name=INVOICE, key_field="number", fields={}), ["jrn_1"])
    await made.close()


@pytest.mark.parametrize(
    "change",
    [{"date": "05.03.2026"}, {"lines": "no lines"}, {"lines": '[{"account":1}]'}, {"state": 1}, {"due_date": "soon"}],
)
async def test_a_value_of_another_kind_is_refused_before_anything_is_called(change: dict[str, str]) -> None:
    made = outbound(GOOD, clock)
    with pytest.raises(ValueUnreadable):
        made.canonical(INVOICE_SPEC, invoice(billed("cus_1", "1.00", "0.19"), party="cus_1") | change)
    await made.close()
